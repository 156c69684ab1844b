"""The supervisor itself stands still for a while, or the whole machine does: nobody is judged for that time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor
from support.system import alive, state

CONFIG = (
    FAST
    + """
heartbeat = { interval = "100ms", timeout = "3s" }

[tasks.one]
run = "mine:tick"
every = "200ms"

[tasks.long]
run = "mine:long"
every = "1h"
run_on_start = true
timeout = "4s"
kill_after = "500ms"
"""
)
CODE = (
    NOTE
    + """
def tick():
    note("ticks")


def long():
    note("long", os.getpid())
    time.sleep(2.5)
    note("done")
"""
)
FROZEN = 5.0  # seconds: more than the timeout of a heartbeat, and more than the long run may take


def freeze(supervisor: Supervisor, *others: int, seconds: float = FROZEN) -> None:
    """Stop the parent (and others), for a time that they themselves cannot measure, and wake the parent first."""
    for pid in (supervisor.pid, *others):
        os.kill(pid, signal.SIGSTOP)
    eventually(lambda: state(supervisor.pid) == "T", within=30)
    time.sleep(seconds)
    for pid in (supervisor.pid, *others):
        os.kill(pid, signal.SIGCONT)


def test_a_supervisor_that_was_stopped_kills_nobody_when_it_goes_on(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code=CODE)
    with made.supervisor() as supervisor:
        pids = [supervisor.pid_of(name) for name in ("one", "long")]
        for _ in range(2):
            ran = len(made.lines("ticks"))
            freeze(supervisor)
            assert len(made.lines("ticks")) > ran, "children work on meanwhile"
            assert [supervisor.pid_of(name) for name in ("one", "long")] == pids
        told = supervisor.status()["supervisor"]
        assert told["stalls"] >= 2, supervisor.stderr  # an overloaded machine may freeze it once more
        assert told["loop_gap"] > FROZEN - 2
        assert "itself was frozen for" in supervisor.stderr
        assert [supervisor.child(name)["restarts"] for name in ("one", "long")] == [0, 0]


def test_a_machine_that_stood_still_with_everything_on_it_kills_nobody(project: Callable[..., Project]) -> None:
    """As a suspend: the parent wakes first and finds silence that is as old as the freeze."""
    made = project(config=CONFIG, code=CODE)
    with made.supervisor() as supervisor:
        pids = [supervisor.pid_of(name) for name in ("one", "long")]
        eventually(lambda: made.lines("long"), within=30)
        freeze(supervisor, *pids)
        ended = supervisor.wait_child("long", lambda child: child.get("last_run"))
        assert ended["last_run"]["state"] in ("ok", "timed_out"), "its own alarm clock did not stand still"
        assert [supervisor.pid_of(name) for name in ("one", "long")] == pids
        assert [supervisor.child(name)["restarts"] for name in ("one", "long")] == [0, 0]


def test_after_a_freeze_a_real_hang_is_still_seen(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code=CODE)
    with made.supervisor() as supervisor:
        one = supervisor.pid_of("one")
        freeze(supervisor)
        os.kill(one, signal.SIGSTOP)
        child = supervisor.wait_child("one", lambda child: child["ready"] and child["pid"] != one, within=60)
        assert child["last_exit"]["cause"] == "hung"


def test_what_died_during_a_freeze_is_replaced_after_it(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code=CODE)
    with made.supervisor() as supervisor:
        one = supervisor.pid_of("one")
        os.kill(supervisor.pid, signal.SIGSTOP)
        eventually(lambda: state(supervisor.pid) == "T", within=30)
        os.kill(one, signal.SIGKILL)
        eventually(lambda: not alive(one), within=30)
        os.kill(supervisor.pid, signal.SIGCONT)
        child = supervisor.wait_child("one", lambda child: child["ready"] and child["pid"] != one)
        assert child["last_exit"]["signal"] == signal.SIGKILL


def test_a_freeze_in_the_middle_of_a_stop_cuts_nobody_short(project: Callable[..., Project]) -> None:
    """Its grace period does not pass while nobody can do anything."""
    config = CONFIG.replace('grace_period = "2s"', 'grace_period = "6s"').replace('timeout = "4s"', 'timeout = "60s"')
    made = project(config=config, code=CODE.replace("time.sleep(2.5)", "time.sleep(4)"))
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        (long,) = eventually(lambda: made.lines("long"), within=30)
        supervisor.terminate()
        eventually(lambda: "stopping: SIGTERM" in supervisor.stderr, within=30)
        freeze(supervisor, int(long), seconds=9.0)
        assert supervisor.wait(60) == 0, supervisor.stderr
        assert made.lines("done")
