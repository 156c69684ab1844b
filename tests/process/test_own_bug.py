"""A bug of ours ends the supervisor at once: exit code 70, and nothing lives on, whatever it was about."""

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
[tasks.one]
run = "mine:tick"
every = "1h"
run_on_start = true

[tasks.two]
run = "mine:deaf"
every = "1h"
run_on_start = true
"""
)
CODE = (
    NOTE
    + """
def away():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            note("away", os.getpid())
            os.execve("/bin/sleep", ["sleep", "600"], {})
        os._exit(0)
    os.wait()


def tick():
    away()
    note("runs", os.getpid())


def deaf():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    away()
    note("runs", os.getpid())
    time.sleep(600)
"""
)
# Read by Python itself at its start. It plants the bug in the parent only.
PLANT = """
import os
import sys

if "FORKWARDEN_PLAN_FD" in os.environ:
    sys.path.insert(0, {root!r})
    from supervisor.parent import {module} as module

    real = module.{name}

    def planted(self, *args, **kwargs):
        if os.path.exists({trigger!r}):
            raise {error}
        return real(self, *args, **kwargs)

    module.{name} = planted
"""
PLACES = {
    "the look of every second": ("supervisor", "Supervisor._look"),
    "a client": ("api", "Api.status"),
    "an exit": ("driver", "Driver._bury"),
    "a signal": ("supervisor", "Supervisor._on_signals"),
    "the guard's end": ("guarding", "Guarding.died"),
    "a helper": ("helpers", "Helpers.on_event"),
}


def planted(
    project: Callable[..., Project], place: tuple[str, str], error: str = "ZeroDivisionError('ours')"
) -> Project:
    made = project(config=CONFIG, code=CODE)
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    module, name = place
    trigger = str(made.folder / "now")
    made.write(
        "plant/sitecustomize.py", PLANT.format(root=root, module=module, name=name, trigger=trigger, error=error)
    )
    return made


def pids(made: Project) -> list[int]:
    return [int(line) for name in ("runs", "away") for line in made.lines(name)]


def started(made: Project, supervisor: Supervisor) -> None:
    supervisor.wait_ready()
    eventually(lambda: len(pids(made)) == 4, within=30)
    assert all(map(alive, pids(made)))


def provoke(supervisor: Supervisor, place: str, made: Project) -> None:
    one = supervisor.pid_of("one")
    made.write("now", "")
    if place == "an exit":
        os.kill(one, signal.SIGKILL)
    elif place == "a signal":
        os.kill(supervisor.pid, signal.SIGUSR1)
    elif place == "the guard's end":
        for pid in of_this_session("guard"):
            os.kill(pid, signal.SIGKILL)
    elif place == "a helper":
        os.kill(supervisor.pid, signal.SIGHUP)


@pytest.mark.parametrize("place", [name for name in PLACES if name != "a client"])
def test_it_ends_with_70_and_leaves_nothing(project: Callable[..., Project], place: str) -> None:
    made = planted(project, PLACES[place])
    with made.supervisor(PYTHONPATH=str(made.folder / "plant")) as supervisor:
        started(made, supervisor)
        provoke(supervisor, place, made)
        assert supervisor.wait() == 70, supervisor.stderr
        assert not any(map(alive, pids(made))), "gone before the exit code, also what has no run-id to be found by"
        eventually(lambda: of_this_session() == [], within=30, what="the guard has swept and gone")
        assert "a bug of ours" in supervisor.stderr
        assert "ZeroDivisionError: ours" in (made.state / "logs" / "supervisor.log").read_text()


@pytest.mark.parametrize("error", ["MemoryError()", "KeyboardInterrupt()", "RecursionError('deep')", "SystemExit(0)"])
def test_no_exception_is_too_strange(project: Callable[..., Project], error: str) -> None:
    made = planted(project, PLACES["the look of every second"], error)
    with made.supervisor(PYTHONPATH=str(made.folder / "plant")) as supervisor:
        started(made, supervisor)
        made.write("now", "")
        assert supervisor.wait() == 70, supervisor.stderr
        assert not any(map(alive, pids(made)))


def test_a_bug_in_a_command_costs_that_client_its_answer_and_nothing_else(project: Callable[..., Project]) -> None:
    made = planted(project, PLACES["a client"])
    with made.supervisor(PYTHONPATH=str(made.folder / "plant")) as supervisor:
        started(made, supervisor)
        made.write("now", "")
        code, _ = supervisor.request("GET", "/v1/status")
        assert code == 500
        (made.folder / "now").unlink()
        assert supervisor.child("one")["restarts"] == 0


def test_after_a_bug_the_next_start_is_as_any_other(project: Callable[..., Project]) -> None:
    made = planted(project, PLACES["the look of every second"])
    with made.supervisor(PYTHONPATH=str(made.folder / "plant")) as supervisor:
        started(made, supervisor)
        assert supervisor.cli("disable", "two", "--note", "a bug").returncode == 0
        made.write("now", "")
        assert supervisor.wait() == 70
        (made.folder / "now").unlink()
        supervisor.start()
        supervisor.wait_ready()
        assert supervisor.child("two")["override"]["note"] == "a bug"
