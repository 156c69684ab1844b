"""A critical child that is down ends the supervisor; a process over its hard memory limit is killed, and says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project

CRITICAL = """
[tasks.one]
run = "mine:tick"
every = "1h"
critical = true
crash_loop = { count = 3, window = "1m" }

[tasks.two]
run = "other:tick"
every = "1h"
"""
BIG = """
[tasks.one]
run = "mine:tick"
every = "1h"
run_on_start = true
timeout = "5m"
heartbeat = { interval = "100ms" }
max_rss = "none"
max_rss_hard = "200MiB"
"""


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import no_such_library\n", "one is critical and fatal: "),  # exit 78: no retry can mend it
        (NOTE + "os._exit(3)\n", "one: crash loop: 3 failures"),
    ],
    ids=["fatal", "crash loop"],
)
def test_a_critical_child_that_is_down_ends_the_supervisor_with_1(
    project: Callable[..., Project], code: str, says: str
) -> None:
    made = project(config=FAST + CRITICAL, code=code)
    made.write("other.py", "def tick():\n    pass\n")
    with made.supervisor() as supervisor:
        assert supervisor.wait(60) == 1, supervisor.stderr
        assert f"stopping for good: {says}" in supervisor.stderr


def test_a_child_that_is_not_critical_ends_nobody_else(project: Callable[..., Project]) -> None:
    made = project(config=FAST + CRITICAL.replace("critical = true", ""), code="import no_such_library\n")
    made.write("other.py", "def tick():\n    pass\n")
    with made.supervisor() as supervisor:
        supervisor.wait_child("one", lambda child: child["state"] == "fatal")
        assert supervisor.pid_of("two")
        assert supervisor.stop() == 0


def test_a_process_over_its_hard_limit_is_killed_and_says_so(project: Callable[..., Project]) -> None:
    code = NOTE + "\n\ndef tick():\n    note('runs')\n    held = bytearray(b'x') * (300 << 20)\n    time.sleep(600)\n"
    made = project(config=FAST + BIG, code=code)
    with made.supervisor() as supervisor:
        child = supervisor.wait_child("one", lambda child: child["last_exit"], within=60)
        assert child["last_exit"]["cause"] == "memory_hard"
        assert child["last_exit"]["signal"] == 9
        assert "over its hard limit of 200 MiB" in child["last_exit"]["reason"]
        assert child["restarts"] >= 1, "it counts as a failure"
        last = eventually(lambda: supervisor.child("one").get("last_run"), within=30)
        assert last["state"] in ("killed", "running")
