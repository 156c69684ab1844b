"""RUNS IN PYTEST: the room of a fault, and the table that a run writes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults import table
from faults.scene import Scene
from support.project import Project

RESULTS: dict[str, str] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-faults", action="store_true", help="write docs/faults.md from this run")


@pytest.fixture
def scene(request: pytest.FixtureRequest, project: Callable[..., Project]) -> Iterator[Scene]:
    mounted: list[Path] = []
    yield Scene(project, mounted, request.getfixturevalue)
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if "test_fault[" in report.nodeid and (report.when == "call" or report.failed):
        RESULTS[report.nodeid.rpartition("[")[2].rstrip("]")] = report.outcome


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--write-faults", default=False):
        table.FILE.parent.mkdir(exist_ok=True)
        before = table.held_before(table.FILE.read_text()) if table.FILE.exists() else {}
        table.FILE.write_text(table.document({**before, **RESULTS}))
