"""`history` when the clock was set back: what ran by the clock that was ahead is older than what runs now."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from supervisor.child.schedule.ledger import Ledger
from supervisor.child.schedule.set_back import SetBack
from supervisor.core.schedule.slots import to_text, trigger
from supervisor.core.spec import TaskSettings
from support.project import FAST, NOTE, Project

HOUR = 3600.0
TASK = '[tasks.tick]\nrun = "mine:tick"\nevery = "1h"\n'


def ledger_of(made: Project, base: float) -> None:
    """It ran for an hour too many by a clock that was two hours ahead; then once; then it was down for three slots."""
    settings = TaskSettings(run="mine:tick", every=HOUR)
    (made.state / "history").mkdir(parents=True)
    ledger = Ledger(str(made.state / "history" / "tick.db"), lambda code, text: None)
    ledger.set_meta("schedule", to_text(settings))
    for hours in (1, 2):
        row = ledger.begin(base + hours * HOUR, "schedule", attempt=1, lateness=0.0, at=base + hours * HOUR)
        ledger.finish(row, "ok", duration=0.1)
    SetBack(ledger, trigger(settings)).happened(base + 2 * HOUR, base - 4 * HOUR - 60)
    row = ledger.begin(base - 4 * HOUR, "schedule", attempt=1, lateness=0.0, at=base - 4 * HOUR)
    ledger.finish(row, "ok", duration=0.1)
    ledger.shut()


def test_every_slot_up_to_now_is_accounted_for_and_the_newest_stand_last(project: Callable[..., Project]) -> None:
    made = project(FAST + TASK, NOTE)
    base = time.time() // HOUR * HOUR
    ledger_of(made, base)
    found = shown(made)
    told = [((at(r) - base) / HOUR, r["state"], r.get("slots")) for r in found]
    if time.time() // HOUR * HOUR == base:
        assert told == [(1.0, "ok", None), (2.0, "ok", None), (-4.0, "ok", None), (-3.0, "missed", 4)]
    assert at(shown(made, "-n", "1")[0]) == base - 3 * HOUR


def shown(made: Project, *more: str) -> list[dict[str, Any]]:
    done = made.run("history", "tick", "--json", *more)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def at(record: dict[str, Any]) -> float:
    return datetime.fromisoformat(record["slot"]).timestamp()
