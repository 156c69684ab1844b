"""Someone who has never seen the program can tell from `explain` alone why a child is down, and which line did it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

import pytest

from support.project import FAST, NOTE, Project

CONFIG = (
    FAST
    + """
heartbeat = { interval = "100ms", timeout = "2s" }
crash_loop = { count = 3, window = "10m" }
on_crash_loop = "fatal"
start_timeout = "2s"

[tasks.one]
run = "mine:tick"
every = "1h"
run_on_start = true
timeout = "1s"
kill_after = "500ms"
"""
)
EXIT = "\n\ndef tick():\n    os._exit(3)\n"
# The code of the child, and what explain must say of it; the state in which it is asked.
BROKEN = {
    "an exit, again and again": (
        EXIT,
        "fatal",
        ["crash loop: exited with 3", "the same error 3 times", "crash loop: 3 within 10m; it is given up", "running"],
    ),
    "an exception at import": (
        "\n\ndef connect():\n    raise ConnectionError('db:5432 refused')\n\n\nconnect()\n\n\ndef tick():\n    pass\n",
        "fatal",
        ["db:5432 refused", "mine.py"],
    ),
    "a missing module": (
        "import stripe_of_nowhere\n\n\ndef tick():\n    pass\n",
        "fatal",
        ["stripe_of_nowhere", "no retry can mend it", "supervisor check"],
    ),
    "a segfault": (
        "import ctypes\n\n\ndef tick():\n    ctypes.string_at(0)\n",
        "fatal",
        ["killed by SIGSEGV", "crash (signal 11)", "mine.py:", "in tick"],
    ),
    "an import without end": (
        "time.sleep(600)\n",
        "fatal",
        ["did not become ready within 2 s", "done at import takes long", "mine.py:"],
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_child_that_is_down_says_why_where_and_what_to_do(project: Callable[..., Project], kind: str) -> None:
    code, state, told = BROKEN[kind]
    made = project(config=CONFIG, code=NOTE + code)
    with made.supervisor() as supervisor:
        supervisor.wait_child("one", lambda child: child["state"] == state, within=90)
        said = supervisor.cli("explain", "one")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith(f"one is {state}: ")
    for text in (*told, "Not tried again until", "config.toml:", "[tasks.one]", "mine.py (changed ", "supervisor "):
        assert text in said.stdout, said.stdout


def test_a_run_that_was_killed_for_its_time_is_told_until_another_ends_well(project: Callable[..., Project]) -> None:
    code = (
        "\n\ndef tick():\n    while True:\n        deaf()\n\n\ndef deaf():\n    try:\n        time.sleep(9)\n"
        "    except BaseException:\n        pass\n"
    )
    made = project(config=CONFIG, code=NOTE + code)
    with made.supervisor() as supervisor:
        first = supervisor.pid_of("one")
        child = supervisor.wait_child("one", lambda child: child["starts"] >= 2 and child["ready"], within=60)
        assert (child["restarts"], child["last_run"]["state"]) == (0, "timed_out")
        said = supervisor.cli("explain", "one").stdout
        events = [json.loads(line) for line in supervisor.cli("events", "--json").stdout.splitlines()]
        (told,) = [event for event in events if event.get("event") == "timed_out" and event.get("pid") == first]
        assert "timed out: running" in told["reason"]
    assert said.startswith("one is running")
    for text in ("timed_out (", "timed out: running", "a run went on beyond its timeout", "in deaf", "report one"):
        assert text in said, said


def test_a_run_that_failed_names_the_line_of_its_error(project: Callable[..., Project]) -> None:
    code = "\n\ndef tick():\n    raise ConnectionError('db:5432 refused')\n"
    made = project(config=CONFIG, code=NOTE + code)
    with made.supervisor() as supervisor:
        supervisor.wait_child("one", lambda child: child.get("last_error"))
        said = supervisor.cli("explain", "one").stdout
    assert "ConnectionError: db:5432 refused   mine.py:" in said
    assert " in tick: " in said


def test_a_child_that_was_killed_by_somebody_and_is_back_tells_of_it(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code=NOTE + "\n\ndef tick():\n    pass\n")
    with made.supervisor() as supervisor:
        os.kill(supervisor.pid_of("one"), signal.SIGKILL)
        supervisor.wait_child("one", lambda child: child["restarts"] == 1 and child["ready"])
        said = supervisor.cli("explain", "one").stdout
    assert "killed by SIGKILL (not by us)" in said
    assert "1 so far of 3 within 10m that are a crash loop" in said
