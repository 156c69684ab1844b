"""`history` ends with how long the runs took."""

from __future__ import annotations

from collections.abc import Callable

from supervisor.child.schedule.ledger import Ledger
from support.project import FAST, Project

TASK = '[tasks.tick]\nrun = "mine:tick"\nevery = "1h"\n'


def test_below_the_table_stand_bars_and_percentiles(project: Callable[..., Project]) -> None:
    made = project(FAST + TASK, "def tick(): pass\n")
    (made.state / "history").mkdir(parents=True)
    ledger = Ledger(str(made.state / "history" / "tick.db"), lambda code, text: None)
    for number, took in enumerate((0.1, 0.1, 0.8)):
        row = ledger.begin(1_795_615_200.0 + number * 3600, "schedule", attempt=1, lateness=0.0)
        ledger.finish(row, "ok", duration=took)
    ledger.shut()
    done = made.run("history", "tick")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["", "▂▂█  p50 0.1s  p95 0.8s  (3 ok)"]
