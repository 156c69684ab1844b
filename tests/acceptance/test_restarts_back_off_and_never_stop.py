"""The first restart comes at once, the next ones wait longer and longer up to the cap; health forgets the count."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project

TASK = """
[tasks.one]
run = "mine:tick"
every = "1h"
"""
CRASHES = NOTE + "note('starts', time.monotonic())\nos._exit(3)\n"
HEALTHY = NOTE + "note('starts', time.monotonic())\n\ndef tick():\n    pass\n"


def test_waits_grow_to_the_cap_and_go_on(project: Callable[..., Project]) -> None:
    made = project(config=FAST + TASK, code=CRASHES)
    with made.supervisor():
        eventually(lambda: len(made.lines("starts")) >= 8, within=60)
    starts = [float(line) for line in made.lines("starts")]
    waits = [later - earlier for earlier, later in itertools.pairwise(starts[:7])]
    expected = [0.0, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert all(wait >= least - 0.01 for wait, least in zip(waits, expected, strict=True)), waits


def test_status_says_how_often_why_and_when_next(project: Callable[..., Project]) -> None:
    slow = FAST.replace('max = "1s"', 'max = "30s"').replace('base = "200ms"', 'base = "10s"')
    with project(config=slow + TASK, code=CRASHES).supervisor() as supervisor:
        child = supervisor.wait_child("one", lambda child: child["state"] == "backoff")
        assert child["restarts"] == 2
        assert "3" in child["reason"]
        assert child["next_try"]


def test_health_for_long_enough_forgets_the_count(project: Callable[..., Project]) -> None:
    made = project(config=FAST + 'stable_after = "500ms"\n' + TASK, code=HEALTHY)
    with made.supervisor() as supervisor:
        for _ in range(3):
            old = supervisor.pid_of("one")
            os.kill(old, signal.SIGKILL)
            supervisor.wait_child("one", lambda child, old=old: child["ready"] and child["pid"] != old)
            supervisor.wait_child("one", lambda child: child["restarts"] == 0)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import no_such_library\n", "no_such_library"),
        ("def tick(:\n    pass\n", "mine.py:1"),
        ("def tock():\n    pass\n", "tick"),
        ("def tick(nobody):\n    pass\n", "nobody"),
    ],
)
def test_what_no_retry_can_mend_is_fatal_at_once_and_waits_for_a_person(
    project: Callable[..., Project], code: str, says: str
) -> None:
    made = project(config=FAST + TASK, code=code)
    with made.supervisor() as supervisor:
        child = supervisor.wait_child("one", lambda child: child["state"] == "fatal")
        assert says in child["reason"]
        assert child["starts"] == 1
        made.write("mine.py", HEALTHY)
        assert supervisor.cli("restart", "one").returncode == 0
        assert supervisor.wait_child("one", lambda child: child["ready"])["state"] == "running"


def test_an_error_at_import_may_pass_and_is_retried(project: Callable[..., Project]) -> None:
    code = NOTE + "note('starts')\nassert len(open(os.path.join(HERE, 'starts')).readlines()) > 3\ndef tick(): pass\n"
    with project(config=FAST + TASK, code=code).supervisor() as supervisor:
        child = supervisor.wait_child("one", lambda child: child["ready"])
        assert child["restarts"] == 3
