"""A runner whose clock is set by an hour or a day, or whose machine sleeps: no slot twice, and each has its record."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.schedule.slots import Every
from support.eventually import eventually
from support.tasks import Task

Make = Callable[..., Task]
Run = Mapping[str, Any]
PERIOD = 0.5
STEPS = {"an hour": 3600.0, "a day": 86400.0}
CODE = """
    import time
    real = time.time
    shift = 0.0
    time.time = lambda: real() + shift
    def run(ctx):
        global shift
        if ctx.kind == "manual":
            shift = {shift}
"""


@pytest.fixture
def task(tmp_path: Path) -> Make:
    return lambda shift: Task(tmp_path, CODE.format(shift=shift), every=PERIOD)


def instant(text: Any) -> float:
    return datetime.fromisoformat(text).timestamp()


def of_schedule(records: Iterable[Run]) -> list[Run]:
    return [each for each in records if each["kind"] == "schedule"]


def slots(records: Iterable[Run]) -> list[float]:
    """Every slot that has a record, those within ranges too, in order."""
    spans = ((instant(r["slot"]), instant(r.get("last", r["slot"]))) for r in of_schedule(records))
    return sorted(slot for first, last in spans for slot in Every(PERIOD).between(first - 0.001, last))


def stepped(mail: Task) -> tuple[list[float], float]:
    """Run, set the clock, run on; return the slots that had run before, and when it was set, by the old clock."""
    with mail.start() as child:
        child.wait_run(kind="schedule", count=3)
        child.order("run", id="set")
        child.wait_run(id="set")
        before, now = [instant(r["slot"]) for r in of_schedule(child.runs)], time.time()
        child.wait_run(kind="schedule", count=len(of_schedule(child.runs)) + 3)
        child.terminate()
        child.exit_code()
    return before, now


@pytest.mark.parametrize("by", STEPS.values(), ids=STEPS)
def test_a_clock_set_forward_runs_the_next_slots_and_tells_of_all_it_jumped_over(task: Make, by: float) -> None:
    mail = task(by)
    before, now = stepped(mail)
    records = of_schedule(mail.records)
    found = slots(records)
    assert found == list(Every(PERIOD).between(found[0] - 0.001, found[-1]))
    jumped = max(records, key=lambda r: r.get("slots") or 0)
    assert jumped["state"] in ("missed", "skipped")
    assert by / PERIOD - 10 <= jumped["slots"] <= by / PERIOD + 120  # the machine may be slow
    ran = [instant(r["slot"]) for r in records if r["state"] == "ok"]
    assert set(before) < set(ran)
    assert min(slot for slot in ran if slot > now + by / 2) == instant(jumped["last"]) + PERIOD
    assert len(ran) == len(set(ran))


@pytest.mark.parametrize("by", STEPS.values(), ids=STEPS)
def test_a_clock_set_back_goes_on_at_the_slots_of_that_time_and_repeats_none(task: Make, by: float) -> None:
    mail = task(-by)
    before, now = stepped(mail)
    records = of_schedule(mail.records)
    again = slots(r for r in records if instant(r["slot"]) < now - by / 2)
    assert len(again) >= 3
    assert again == list(Every(PERIOD).between(again[0] - 0.001, again[-1]))
    assert now - by - 10 < again[0]
    found = slots(records)
    assert len(found) == len(set(found))
    ran = [instant(r["slot"]) for r in records if r["state"] == "ok"]
    assert set(before) <= set(ran)
    assert len(ran) == len(set(ran))


def test_a_machine_that_slept_accounts_for_every_slot_of_the_night(task: Make) -> None:
    mail = task(0.0)
    with mail.start() as child:
        child.wait_run(kind="schedule", count=2)
        child.signal(signal.SIGSTOP)
        try:
            morning = time.time() + 6 * PERIOD
            eventually(lambda: time.time() > morning)
        finally:
            child.signal(signal.SIGCONT)
        child.wait_run(kind="schedule", count=len(of_schedule(child.runs)) + 3)
        child.terminate()
        child.exit_code()
    found = slots(mail.records)
    assert found == list(Every(PERIOD).between(found[0] - 0.001, found[-1]))
    assert sum(r.get("slots") or 0 for r in mail.records if r["state"] == "missed") >= 4
