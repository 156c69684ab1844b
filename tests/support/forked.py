"""RUNS IN PYTEST: one call in a process of its own, as the parent's helpers make it: its threads end with it."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from typing import Any


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return its result, which must be JSON. Raises AssertionError with the traceback."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, json.dumps([function(*arguments)]).encode())
        except BaseException:
            os.write(write, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(pid, 0)
    assert text.startswith("["), text
    return json.loads(text)[0]
