"""What a look of every second finds is told at once, not only when a heartbeat would be missed: ten minutes here."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from support.project import FAST, NOTE, Project

CONFIG = (
    FAST.replace("watch = false", 'watch = false\nheartbeat = { interval = "100ms", timeout = "10m" }')
    + """
[tasks.one]
run = "mine:tick"
every = "1h"
run_on_start = true
"""
)
FIRST = "def tick():\n    note('runs')\n    if len(open(os.path.join(HERE, 'runs')).readlines()) == 1:\n"
DEAF = FIRST + (
    "        while True:\n            try:\n                time.sleep(600)\n            except BaseException:\n"
    "                pass\n"
)
BIG = FIRST + "        held = bytearray(b'x') * (300 << 20)\n        time.sleep(600)\n"


@pytest.mark.parametrize(
    ("code", "settings", "cause"),
    [
        (DEAF, 'timeout = "500ms"\nkill_after = "0s"\n', "timed_out"),
        (BIG, 'max_rss = "none"\nmax_rss_hard = "150MiB"\n', "memory_hard"),
    ],
)
def test_what_goes_wrong_in_a_run_is_seen(
    project: Callable[..., Project], code: str, settings: str, cause: str
) -> None:
    with project(config=CONFIG + settings, code=NOTE + code).supervisor() as supervisor:
        child = supervisor.wait_child("one", lambda child: child["ready"] and child["starts"] == 2, within=60)
        assert child["last_exit"]["cause"] == cause


def test_a_child_that_grew_at_rest_is_replaced(project: Callable[..., Project]) -> None:
    code = FIRST + "        globals()['held'] = bytearray(b'x') * (300 << 20)\n"
    with project(config=CONFIG + 'max_rss = "150MiB"\n', code=NOTE + code).supervisor() as supervisor:
        child = supervisor.wait_child("one", lambda child: child["ready"] and child["starts"] == 2, within=60)
        assert child["last_exit"]["cause"] == "memory"


def test_a_child_that_has_failed_is_stable_after_its_time(project: Callable[..., Project]) -> None:
    config = CONFIG.replace("watch = false", 'watch = false\nstable_after = "2s"')
    with project(config=config, code=NOTE + "def tick():\n    note('runs')\n").supervisor() as supervisor:
        os.kill(supervisor.pid_of("one"), signal.SIGKILL)
        supervisor.wait_child("one", lambda child: child["ready"] and child["restarts"] == 1)
        supervisor.wait_child("one", lambda child: child["restarts"] == 0, within=60)
