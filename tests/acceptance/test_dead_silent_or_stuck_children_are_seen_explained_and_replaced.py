"""Four ways to stop working, each with its own verdict; and a busy child that is healthy and stays."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor

CONFIG = (
    FAST
    + """
heartbeat = { interval = "200ms", timeout = "3s" }

[tasks.one]
run = "mine:tick"
every = "1h"
run_on_start = true
timeout = "1s"
kill_after = "1s"
"""
)
QUICK = "def tick():\n    note('runs', os.getpid())\n"
GIL = """
def tick():
    note("runs", os.getpid())
    if len(open(os.path.join(HERE, "runs")).readlines()) == 1:
        catastrophe()

def catastrophe():
    sum(range(10**18))  # one C call: it holds the interpreter for years and never looks for signals
"""
STUCK = """
def tick():
    note("runs", os.getpid())
    if len(open(os.path.join(HERE, "runs")).readlines()) == 1:
        deaf()

def deaf():
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass
"""
BUSY = """
def tick():
    end = time.monotonic() + 8
    while time.monotonic() < end:
        sum(range(1000))
    note("runs", os.getpid())
"""


def replaced(supervisor: Supervisor, old: int) -> dict[str, Any]:
    return supervisor.wait_child("one", lambda child: child["pid"] not in (None, old) and child["ready"], within=60)


@pytest.fixture
def make(project: Callable[..., Project]) -> Callable[..., Project]:
    return lambda code, config=CONFIG: project(config=config, code=NOTE + code)


def test_a_dead_child_is_replaced_and_the_signal_named(make: Callable[..., Project]) -> None:
    with make(QUICK).supervisor() as supervisor:
        old = supervisor.pid_of("one")
        os.kill(old, signal.SIGKILL)
        child = replaced(supervisor, old)
        assert child["last_exit"]["cause"] == "crash"
        assert "SIGKILL" in child["last_exit"]["reason"]
        assert child["restarts"] == 1


def test_a_silent_child_is_hung_and_replaced(make: Callable[..., Project]) -> None:
    with make(QUICK).supervisor() as supervisor:
        old = supervisor.pid_of("one")
        os.kill(old, signal.SIGSTOP)
        child = replaced(supervisor, old)
        assert child["last_exit"]["cause"] == "hung"
        assert "heartbeat" in child["last_exit"]["reason"]


def test_a_child_that_holds_the_interpreter_is_hung_and_its_stack_is_kept(make: Callable[..., Project]) -> None:
    with make(GIL).supervisor() as supervisor:
        old = supervisor.wait_child("one", lambda child: child["pid"])["pid"]
        child = replaced(supervisor, old)
        assert child["last_exit"]["cause"] == "hung"
        assert "catastrophe" in kept(supervisor)


def test_a_run_that_does_not_end_is_killed_for_its_time_uncounted_and_its_stack_is_kept(
    make: Callable[..., Project],
) -> None:
    with make(STUCK).supervisor() as supervisor:
        old = supervisor.wait_child("one", lambda child: child["pid"])["pid"]
        child = replaced(supervisor, old)
        assert (child["last_exit"]["cause"], child["restarts"]) == ("timed_out", 0)
        assert "deaf" in kept(supervisor)


def kept(supervisor: Supervisor) -> str:
    """Return all crash reports."""
    return "\n".join(
        path.read_text(errors="replace") for path in (supervisor.state / "crashes").rglob("*") if path.is_file()
    )


def test_a_busy_healthy_child_is_left_alone(make: Callable[..., Project]) -> None:
    with make(BUSY, CONFIG.replace('timeout = "1s"', 'timeout = "60s"')).supervisor() as supervisor:
        old = supervisor.wait_child("one", lambda child: child["pid"])["pid"]
        child = supervisor.wait_child("one", lambda child: child.get("last_run"), within=60)
        assert child["last_run"]["state"] == "ok"
        assert (child["pid"], child["restarts"]) == (old, 0)


def test_explain_says_why_and_what_to_do(make: Callable[..., Project]) -> None:
    with make("raise RuntimeError('no such table: invoices')\n").supervisor() as supervisor:
        supervisor.wait_child("one", lambda child: child["restarts"] >= 2)
        said = supervisor.cli("explain", "one")
        assert said.returncode == 0, said.stderr
        assert "no such table: invoices" in said.stdout
        assert "mine.py" in said.stdout
