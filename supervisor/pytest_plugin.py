"""RUNS IN PYTEST: the fixtures `kafka_mock` and `run_consumer`, for the tests of a project. PYTEST_DONT_REWRITE

Nothing is imported before a test asks for one of them: the plugin is loaded by every pytest in this environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from supervisor.testing_kafka import KafkaMock, Outcome


@pytest.fixture
def kafka_mock() -> Iterator[KafkaMock]:
    """A Kafka broker of this test's own, in memory: topic, produce, records, down, up, rtt, errors, requests."""
    from supervisor.testing_kafka import KafkaMock

    with KafkaMock() as broker:
        yield broker


@pytest.fixture
def run_consumer(kafka_mock: KafkaMock, request: pytest.FixtureRequest) -> Callable[..., Outcome]:
    """`run_consumer("orders", [{"id": 1}])`: run a consumer of config.toml over records, and see what came of it."""
    from supervisor.testing_kafka import run_consumer

    def run(name: str, records: Any, *, config: str | os.PathLike[str] | None = None, within: float = 30.0) -> Outcome:
        return run_consumer(kafka_mock, name, records, config=config or _config(request.path), within=within)

    return run


def _config(test: Path) -> str:
    """FORKWARDEN_CONFIG, or the nearest config.toml above the test."""
    above = (folder / "config.toml" for folder in test.parents)
    return os.environ.get("FORKWARDEN_CONFIG") or str(next((file for file in above if file.exists()), "config.toml"))
