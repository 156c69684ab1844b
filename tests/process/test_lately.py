"""`explain` looks through a whole day of a task, however often it runs."""

from __future__ import annotations

import time
from collections.abc import Callable

from supervisor.child.schedule.ledger import Ledger
from supervisor.cli import lately
from supervisor.cli.place import find
from supervisor.core.schedule.missed import Range
from supervisor.core.schedule.slots import Every, to_text
from supervisor.core.spec import TaskSettings
from support.project import Project

CONFIG = '[tasks.tick]\nrun = "mine:tick"\nevery = "30s"\n'


def test_what_was_missed_before_two_thousand_good_runs_is_told(project: Callable[..., Project]) -> None:
    made = project(CONFIG, "def tick(): ...\n")
    file = made.state / "history" / "tick.db"
    file.parent.mkdir(parents=True)
    now = Every(30.0).last_between(0, time.time()) or 0.0
    ledger = Ledger(str(file), lambda code, text: None)
    ledger.set_meta("schedule", to_text(TaskSettings(run="mine:tick", every=30.0)))
    ledger.close(Range(now - 2010 * 30, now - 2001 * 30, 10, "missed", "down"))
    for number in range(2000, -1, -1):
        row = ledger.begin(now - number * 30, "schedule", attempt=1, lateness=0.0, at=now - number * 30)
        ledger.finish(row, "ok", duration=0.1)
    ledger.shut()
    (line,) = lately.lines(find(str(made.folder / "config.toml")), {"kind": "task", "name": "tick"}, time.time())
    assert line.endswith(" missed, 10 slots: its process was not there")
