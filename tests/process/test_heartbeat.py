"""A child that lives beats, and one that works gets on: six ways to hang, each seen, explained and ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor
from support.system import alive

CONFIG = (
    FAST
    + """
heartbeat = { interval = "100ms", timeout = "3s" }

[tasks.one]
run = "mine:tick"
every = "1h"
run_on_start = true
timeout = "1s"
kill_after = "500ms"

[tasks.well]
run = "mine:well"
every = "200ms"
"""
)
HEAD = (
    NOTE
    + """
import ctypes
import re
import threading


def well():
    note("well")


def first():
    note("runs", os.getpid())
    return len(open(os.path.join(HERE, "runs")).readlines()) == 1
"""
)
TIMED_OUT = "timed_out"
# What it does, and the verdict. `deaf` lets nothing through that is raised in it, as TaskTimeout is.
HANGS = {
    "a loop that catches everything": ("def hang():\n    while True:\n        deaf(spin)\n", TIMED_OUT),
    "C that does not hold the interpreter": ("def hang():\n    while True:\n        deaf(libc.pause)\n", TIMED_OUT),
    "a lock taken twice": ("def hang():\n    lock.acquire()\n    while True:\n        deaf(lock.acquire)\n", TIMED_OUT),
    "C that holds the interpreter": ("def hang():\n    ctypes.PyDLL(None).sleep(600)\n", "hung"),
    "a regular expression": ("def hang():\n    re.match('(a+)+$', 'a' * 64 + 'b')\n", "hung"),
    "a stop signal": ("def hang():\n    os.kill(os.getpid(), signal.SIGSTOP)\n", "hung"),
}
TICK = """
lock = threading.Lock()
libc = ctypes.CDLL(None)


def deaf(call):
    try:
        call()
    except BaseException:
        pass


def spin():
    while True:
        pass


def tick():
    if first():
        hang()
"""


def config_for(cause: str) -> str:
    """A hung one must not be freed by the timeout of its run: SIGALRM ends a sleep in C."""
    return CONFIG if cause == TIMED_OUT else CONFIG.replace('timeout = "1s"', 'timeout = "1h"')


def replaced(supervisor: Supervisor, made: Project) -> dict[str, Any]:
    """Wait for the first process of `one` to be gone and the second to be ready."""
    (old, *_) = eventually(lambda: made.lines("runs"), within=30)
    return supervisor.wait_child("one", lambda child: child["ready"] and child["pid"] != int(old), within=90)


def stacks(supervisor: Supervisor) -> str:
    return "\n".join(path.read_text(errors="replace") for path in (supervisor.state / "crashes").glob("one-*.json"))


@pytest.mark.parametrize("kind", HANGS)
def test_a_hang_is_seen_named_and_its_stacks_are_kept(project: Callable[..., Project], kind: str) -> None:
    body, cause = HANGS[kind]
    made = project(config=config_for(cause), code=HEAD + TICK + body)
    with made.supervisor() as supervisor:
        well = supervisor.pid_of("well")
        child = replaced(supervisor, made)
        assert child["last_exit"]["cause"] == cause
        assert child["restarts"] == (0 if cause == TIMED_OUT else 1)
        if kind != "a stop signal":
            assert "in hang" in stacks(supervisor), stacks(supervisor)
        assert supervisor.pid_of("well") == well
        assert supervisor.child("well")["restarts"] == 0
        ran = len(made.lines("well"))
        eventually(lambda: len(made.lines("well")) > ran, within=30, what="a neighbour goes on")


def test_a_coroutine_that_swallows_its_end_is_killed_for_its_time(project: Callable[..., Project]) -> None:
    code = """
import asyncio


async def tick():
    if first():
        await hang()


async def hang():
    while True:
        try:
            await asyncio.get_running_loop().create_future()
        except BaseException:
            pass
"""
    made = project(config=CONFIG, code=HEAD + code)
    with made.supervisor() as supervisor:
        assert replaced(supervisor, made)["last_exit"]["cause"] == TIMED_OUT


def test_the_evidence_says_what_it_was_doing_and_since_when(project: Callable[..., Project]) -> None:
    body, cause = HANGS["C that holds the interpreter"]
    made = project(config=config_for(cause), code=HEAD + TICK + body)
    with made.supervisor() as supervisor:
        child = replaced(supervisor, made)
        assert child["last_exit"]["phase"] == "running"
        assert child["last_exit"]["reason"].startswith("no heartbeat for ")
        assert "hung" in supervisor.stderr
        assert "taking its stacks" in supervisor.stderr


def test_an_import_that_hangs_is_a_start_timeout(project: Callable[..., Project]) -> None:
    config = CONFIG.replace("watch = false", 'watch = false\nstart_timeout = "1s"')
    code = HEAD + TICK + "def hang(): libc.pause()\nif first():\n    while True:\n        deaf(hang)\n"
    made = project(config=config.replace("[tasks.well]", "[tasks.well]\nenabled = false"), code=code)
    with made.supervisor() as supervisor:
        child = replaced(supervisor, made)
        assert child["last_exit"]["cause"] == "start_timeout"
        assert "did not become ready within 1 s" in child["last_exit"]["reason"]
        assert child["last_exit"]["phase"] == "loading"
        assert "in hang" in stacks(supervisor)


def test_a_child_without_a_descriptor_left_is_not_hung(project: Callable[..., Project]) -> None:
    """It goes on beating, and can say so itself: its own trouble is its own."""
    config = CONFIG.replace('timeout = "1s"', 'timeout = "60s"')
    code = (
        HEAD
        + """
def tick():
    first()
    file = open(os.path.join(HERE, "full"), "a", buffering=1)
    held = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        file.write("!\\n")
    end = time.monotonic() + 8
    while time.monotonic() < end:
        time.sleep(0.1)
    for fd in held:
        os.close(fd)
    note("done")
"""
    )
    made = project(config=config, code=code)
    with made.supervisor() as supervisor:
        eventually(lambda: made.lines("full"), within=60)
        eventually(lambda: made.lines("done"), within=60)
        child = supervisor.wait_child("one", lambda child: child.get("last_run"))
        assert child["last_run"]["state"] == "ok"
        assert (child["restarts"], child["starts"]) == (0, 1)


def test_many_children_do_not_wake_the_loop_for_their_beats(project: Callable[..., Project]) -> None:
    """At rest the parent wakes about once a second, not once for each beat of each child."""
    tasks = "".join(f'\n[tasks.t{n}]\nrun = "mine:tick"\nevery = "1h"\n' for n in range(10))
    made = project(
        config=FAST + 'heartbeat = { interval = "100ms", timeout = "20s" }\n' + tasks, code=NOTE + "def tick(): pass\n"
    )
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        time.sleep(1.0)  # the last words of the start
        before, began = switches(supervisor.pid), time.monotonic()
        time.sleep(3.0)
        rate = (switches(supervisor.pid) - before) / (time.monotonic() - began)
        assert rate < 30, "100 beats a second, and the loop slept"


def switches(pid: int) -> int:
    """How often the process went to sleep."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("voluntary"))


def test_a_beat_is_late_in_a_starved_child_and_nobody_dies_of_it(project: Callable[..., Project]) -> None:
    """Stopped and woken again and again, always for less than the timeout."""
    made = project(config=CONFIG.replace('timeout = "3s"', 'timeout = "10s"'), code=HEAD + "def tick():\n    first()\n")
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("well")
        for _ in range(5):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.8)
            os.kill(pid, signal.SIGCONT)
            supervisor.wait_child("well", lambda child: child["heartbeat_age"] < 1.5)
        assert supervisor.child("well")["restarts"] == 0
        assert alive(pid)
