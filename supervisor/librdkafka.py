"""RUNS IN A CHILD, IN A HELPER AND IN THE COMMAND: where the shared library librdkafka is, for those who use ctypes."""

from __future__ import annotations

import ctypes.util
import importlib.util
from pathlib import Path


def find() -> str | None:
    """The wheel's own copy stands beside the package; a distribution's build is found by the linker."""
    spec = importlib.util.find_spec("confluent_kafka")
    beside = Path(spec.origin).parent.parent / "confluent_kafka.libs" if spec and spec.origin else Path()
    found = sorted(beside.glob("librdkafka*.so*"))
    return str(found[0]) if found else ctypes.util.find_library("rdkafka")
