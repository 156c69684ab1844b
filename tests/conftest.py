"""RUNS IN PYTEST: what every test is held to, and the fixtures that all hands share.

After each test no process, thread, zombie or descriptor may be left that was not there before it.
"""

from __future__ import annotations

import gc
import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import leaks
from support.eventually import eventually
from support.postgres import Postgres, why_not
from support.project import Project
from support.real_kafka import broker, embedded, embedded_kafka, own_kafka, real_kafka
from support.secured_kafka import secured_kafka
from support.supervisor_process import kill_tagged

__all__ = ["broker", "embedded", "embedded_kafka", "own_kafka", "real_kafka", "secured_kafka"]  # fixtures
SETTLE = 10.0  # seconds for an exit that is under way: on a loaded machine the last thread takes its time


def pytest_configure(config: pytest.Config) -> None:
    os.environ[leaks.TAG] = str(os.getpid())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where everything is installed (.ci/run), a test that was skipped did not pass."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter and reporter.stats.get("skipped") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def nothing_is_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Pure unit tests start nothing, so there the search through all of /proc is left out."""
    tagged = "unit" not in request.path.parts
    before = leaks.held(tagged=tagged)
    yield
    left = _left_over(before, tagged=tagged)
    if left:
        kill_tagged()
        pytest.fail("left behind by this test:\n  " + "\n  ".join(left), pytrace=False)


def _left_over(before: leaks.Held, *, tagged: bool) -> list[str]:
    """Look once; only when something is there, collect garbage and give it time to end."""
    left = leaks.left_over(before, leaks.held(tagged=tagged))
    if not left:
        return []
    gc.collect()
    try:
        eventually(lambda: not leaks.left_over(before, leaks.held(tagged=tagged)), within=SETTLE, every=0.05)
    except AssertionError:
        return leaks.left_over(before, leaks.held(tagged=tagged))
    return []


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pytest's own, with a shorter name: beside the folder of one of several runners, a socket's path has 100 bytes."""
    return tmp_path_factory.mktemp(re.sub(r"\W", "_", request.node.name)[:20])


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Project]:
    """`project(config="...", code="...")`: a user's folder with config.toml and mine.py."""
    numbers = itertools.count()

    def make(config: str = "", code: str = "") -> Project:
        return Project(tmp_path / f"project{next(numbers) or ''}", config, code)

    return make


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, as tasks/ reads it from DATABASE_URL: every test runs on both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'app.db'}"
    url = request.getfixturevalue("postgres_url")
    assert isinstance(url, str)
    return url


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL for the whole session, on a Unix socket only."""
    if reason := why_not():
        pytest.skip(reason)
    with Postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """An empty database of its own, as a SQLAlchemy URL."""
    with postgres.database() as url:
        yield url
