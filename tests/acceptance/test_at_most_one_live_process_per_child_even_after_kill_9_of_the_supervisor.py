"""Each process of the child takes a lock that its daemonised grandchild holds too: a second copy cannot hide."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor
from support.system import alive, of_this_session

CONFIG = (
    FAST
    + """
[tasks.alone]
run = "mine:tick"
every = "1h"
"""
)
CODE = (
    NOTE
    + """
import fcntl

lock = os.open(os.path.join(HERE, "alone"), os.O_RDWR | os.O_CREAT, 0o600)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    note("twice", os.getpid())
child = os.fork()
if child == 0:
    os.setsid()
    if os.fork() == 0:
        note("daemons", os.getpid())
        time.sleep(600)
    os._exit(0)
os.waitpid(child, 0)
note("processes", os.getpid())


def tick():
    pass
"""
)


@pytest.fixture
def alone(project: Callable[..., Project]) -> Project:
    return project(config=CONFIG, code=CODE)


def pids(alone: Project) -> list[int]:
    """Return every process of the child that there ever was, and its daemons."""
    return [int(line) for name in ("processes", "daemons") for line in alone.lines(name)]


def gone(alone: Project) -> bool:
    return not any(alive(pid) for pid in pids(alone))


def started(alone: Project, supervisor: Supervisor, times: int) -> None:
    supervisor.wait_ready()
    eventually(lambda: len(alone.lines("daemons")) == len(alone.lines("processes")) == times, within=30)


def test_kill_9_of_the_supervisor_takes_the_child_and_its_daemon_along(alone: Project) -> None:
    with alone.supervisor() as supervisor:
        started(alone, supervisor, 1)
        supervisor.kill()
        eventually(lambda: gone(alone), within=20, what="child and daemon are gone without a new supervisor")


def test_a_supervisor_that_starts_at_once_after_kill_9_never_makes_a_second_copy(alone: Project) -> None:
    with alone.supervisor() as supervisor:
        for times in range(1, 6):
            started(alone, supervisor, times)
            supervisor.kill()
            supervisor.start()
        started(alone, supervisor, 6)
        assert alone.lines("twice") == []
        assert sum(alive(pid) for pid in pids(alone)) == 2  # one process and its daemon


def test_a_start_sweeps_what_a_supervisor_left_that_was_killed_with_its_guard(alone: Project) -> None:
    """PDEATHSIG takes the child; of the daemon nobody knows any more but its environment."""
    with alone.supervisor() as supervisor:
        started(alone, supervisor, 1)
        (daemon,) = (int(line) for line in alone.lines("daemons"))
        for pid in of_this_session("guard"):
            os.kill(pid, signal.SIGKILL)
        supervisor.kill()
        assert alive(daemon)
        supervisor.start()
        started(alone, supervisor, 2)
        assert not alive(daemon)
        assert alone.lines("twice") == []


def test_a_child_that_dies_is_replaced_only_when_its_daemon_is_gone(alone: Project) -> None:
    with alone.supervisor() as supervisor:
        for times in range(1, 5):
            started(alone, supervisor, times)
            os.kill(supervisor.pid_of("alone"), signal.SIGKILL)
        started(alone, supervisor, 5)
        assert alone.lines("twice") == []


def test_a_second_supervisor_of_the_same_folder_refuses_and_names_the_first(alone: Project) -> None:
    with alone.supervisor() as supervisor:
        started(alone, supervisor, 1)
        second = alone.run("start")
        assert second.returncode == 1
        assert str(supervisor.pid) in second.stderr
        assert supervisor.child("alone")["state"] == "running"
        assert alone.lines("twice") == []


def test_a_stop_leaves_nothing(alone: Project) -> None:
    with alone.supervisor() as supervisor:
        started(alone, supervisor, 1)
        supervisor.stop()
        assert gone(alone)
