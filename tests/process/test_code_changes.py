"""Code that was saved: in development every child takes it up; a child given up because of its code is tried again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project

CONFIG = (
    FAST
    + """
[tasks.one]
run = "mine:one"
every = "1s"

[tasks.two]
run = "other:two"
every = "1s"
"""
)


@pytest.fixture
def made(project: Callable[..., Project]) -> Project:
    made = project(config=CONFIG, code=NOTE + "def one():\n    note('first')\n")
    made.write("other.py", "def two():\n    pass\n")
    return made


def test_in_development_a_saved_file_replaces_the_process_that_imported_it_and_no_other(made: Project) -> None:
    with made.supervisor("--dev") as supervisor:
        supervisor.wait_ready()
        before, neighbour = supervisor.pid_of("one"), supervisor.pid_of("two")
        eventually(lambda: made.lines("first"), within=20)
        made.write("mine.py", NOTE + "def one():\n    note('second')\n")
        eventually(lambda: made.lines("second"), within=30)
        assert supervisor.pid_of("one") != before
        assert supervisor.pid_of("two") == neighbour
        assert supervisor.child("one")["restarts"] == 0, "it was planned, and counts as no failure"


def test_without_it_a_running_child_keeps_the_code_it_began_with(made: Project) -> None:
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        before = supervisor.pid_of("one")
        made.write("mine.py", NOTE + "def one():\n    note('second')\n")
        count = len(made.lines("first"))
        eventually(lambda: len(made.lines("first")) >= count + 3, within=30)
        assert not made.lines("second")
        assert supervisor.pid_of("one") == before


def test_a_child_that_is_fatal_because_of_its_code_is_tried_again_when_that_is_mended(made: Project) -> None:
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        made.write("mine.py", "def one(:\n")
        supervisor.request("POST", "/v1/children/one/restart", {"now": True})
        broken = supervisor.wait_child("one", lambda child: child["state"] == "fatal")
        assert "mine.py" in broken["reason"]
        made.write("mine.py", NOTE + "def one():\n    note('mended')\n")
        supervisor.wait_child("one", lambda child: child["state"] == "running")
        eventually(lambda: made.lines("mended"), within=20)
