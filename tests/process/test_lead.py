"""A run is prepared ahead of its slot: it starts exactly there, and what ends the wait leaves nothing behind."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from supervisor.child.birth import LastExit
from supervisor.child.schedule import lead
from supervisor.core.schedule.unwritten import PREPARING
from support.child import ForkedChild
from support.eventually import eventually
from support.tasks import Task

Make = Callable[..., Task]
PERIOD = 2.0
WAIT = 1.5  # seconds of lead: time for a test to do something in it
NOTE = """
    import pathlib, time
    HERE = pathlib.Path(__file__).parent
    def run(ctx):
        with open(HERE / "ran", "a") as file:
            file.write(f"{ctx.kind} {ctx.slot!r} {time.time()!r}\\n")
"""
CLOCK = """
    import threading
    real = time.time
    def set_clock():
        while not (HERE / "set").exists():
            time.sleep(0.01)
        by = float((HERE / "set").read_text())
        time.time = lambda: real() + by
        (HERE / "done").touch()
    threading.Thread(target=set_clock, daemon=True).start()
"""


@pytest.fixture
def task(tmp_path: Path) -> Make:
    return lambda code=NOTE, **settings: Task(tmp_path, code, **{"every": PERIOD, "catch_up": "all", **settings})


@pytest.fixture
def long_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEAST", "MOST", "_FIRST"):
        monkeypatch.setattr(lead, name, WAIT)


def ran(mail: Task) -> list[list[str]]:
    path = mail.folder / "ran"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def prepared(mail: Task, child: ForkedChild) -> float:
    """Wait until it has its record of a slot that is not close yet; return the slot."""

    def waiting() -> float | None:
        doing = child.doing()
        slot = instant(doing.subject) if doing and doing.phase == PREPARING else 0.0
        return slot if slot - time.time() > WAIT / 2 and of_slot(mail, slot) else None

    found = eventually(waiting, every=0.005)
    assert found is not None
    return found


def instant(text: Any) -> float:
    return datetime.fromisoformat(text).timestamp()


def of_slot(mail: Task, slot: float) -> list[Mapping[str, Any]]:
    return [r for r in mail.records if instant(r["slot"]) <= slot <= instant(r.get("last", r["slot"]))]


def test_no_run_starts_before_its_slot_and_its_record_tells_the_true_start(task: Make) -> None:
    mail = task(every=0.1)
    with mail.start() as child:
        child.wait_run(count=20)
        child.terminate()
        assert child.exit_code() == 0
    called = {float(slot): float(at) for _, slot, at in ran(mail)}
    assert all(at >= slot for slot, at in called.items())
    for record in (r for r in mail.records if r["state"] == "ok"):
        slot, started = instant(record["slot"]), instant(record["started"])
        assert slot <= started <= called[slot] + 0.001  # of the text's millisecond
        assert record["lateness"] == pytest.approx(started - slot, abs=0.002)


@pytest.mark.usefixtures("long_lead")
def test_a_run_that_waits_for_its_slot_is_in_the_ledger_with_the_start_to_come(task: Make) -> None:
    mail = task()
    with mail.start() as child:
        slot = prepared(mail, child)
        (record,) = of_slot(mail, slot)
        assert (record["state"], instant(record["started"]), record["lateness"]) == ("running", slot, 0.0)
        child.wait_run(slot=record["slot"])
    assert len(of_slot(mail, slot)) == 1


@pytest.mark.usefixtures("long_lead")
@pytest.mark.parametrize("how", ["drain", "SIGTERM"])
def test_a_stop_before_the_slot_is_heard_at_once_and_leaves_the_slot_to_the_next_process(task: Make, how: str) -> None:
    mail = task()
    with mail.start() as child:
        slot = prepared(mail, child)
        child.order("drain") if how == "drain" else child.terminate()
        assert child.exit_code() == 0
    assert of_slot(mail, slot) == []
    assert slot not in [float(at) for _, at, _ in ran(mail)]
    with mail.start() as child:
        child.wait_run(count=1)
    assert [(kind, float(at)) for kind, at, _ in ran(mail) if float(at) == slot] == [("schedule", slot)]


@pytest.mark.usefixtures("long_lead")
def test_a_pause_before_the_slot_keeps_it_from_starting(task: Make) -> None:
    mail = task()
    with mail.start() as child:
        slot = prepared(mail, child)
        child.order("pause")
        eventually(lambda: [r["state"] for r in of_slot(mail, slot)] == ["skipped"])
        child.order("resume")
        child.wait_run(kind="schedule")
    assert of_slot(mail, slot)[0]["reason"] == "paused"
    assert slot not in [float(at) for _, at, _ in ran(mail)]


@pytest.mark.usefixtures("long_lead")
def test_a_run_asked_for_before_the_slot_comes_after_it(task: Make) -> None:
    mail = task()
    with mail.start() as child:
        slot = prepared(mail, child)
        child.order("run", id="now")
        child.wait_run(id="now")
    kinds = [(kind, float(at)) for kind, at, _ in ran(mail)]
    assert kinds.index(("schedule", slot)) < [kind for kind, _ in kinds].index("manual")


def killed(mail: Task) -> tuple[float, LastExit]:
    """Kill the process while it waits for a slot; return the slot, and what the parent knows of the end."""
    with mail.start() as child:
        slot = prepared(mail, child)
        doing = child.doing()
        child.kill()
        assert child.exit_code() == -signal.SIGKILL
        assert doing is not None
    died = LastExit(cause="crash", reason="killed", phase=doing.phase, subject=doing.subject, at=time.time(), signal=9)
    assert [r["state"] for r in mail.records if instant(r["slot"]) == slot] == ["running"]
    return slot, died


@pytest.mark.usefixtures("long_lead")
def test_a_slot_whose_process_was_killed_before_it_runs_in_the_next_one(task: Make) -> None:
    mail = task()
    slot, died = killed(mail)
    with mail.start(died) as child:
        child.wait_run(state="ok")
    assert next(float(at) for _, at, _ in ran(mail)) == slot
    assert [r["state"] for r in of_slot(mail, slot)] == ["ok"]


@pytest.mark.usefixtures("long_lead")
@pytest.mark.parametrize("known", ["it moved on and started", "nothing"])
def test_a_slot_that_may_have_started_never_starts_again(task: Make, known: str) -> None:
    mail = task()
    slot, died = killed(mail)
    with mail.start(replace(died, ran=slot) if known != "nothing" else None) as child:
        child.wait_run(state="ok")
    assert slot not in [float(at) for _, at, _ in ran(mail)]
    assert [r["state"] for r in of_slot(mail, slot)] == ["lost"]


@pytest.mark.usefixtures("long_lead")
@pytest.mark.parametrize("by", [3600.0, -3600.0])
def test_a_clock_that_is_set_before_the_slot_starts_nothing_at_a_wrong_time(task: Make, by: float) -> None:
    mail = task(NOTE + CLOCK)
    with mail.start() as child:
        slot = prepared(mail, child)
        (mail.folder / "by").write_text(str(by))
        (mail.folder / "by").rename(mail.folder / "set")
        child.wait_run(kind="schedule", state="ok")
    called = [(float(at), float(when)) for _, at, when in ran(mail)]
    assert all(0 <= when - at < 60 for at, when in called)  # by the clock of that moment
    assert slot not in [at for at, _ in called]
    states = [(r["state"], r.get("reason")) for r in of_slot(mail, slot)]
    assert states == ([("missed", "clock")] if by > 0 else [])


def test_the_lead_follows_what_preparing_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = lead.Lead()
    made.learn(0.08)
    assert made.seconds == pytest.approx(0.16)
    for _ in range(100):
        made.learn(0.0)
    assert made.seconds == lead.LEAST
    made.learn(60)
    assert made.seconds == lead.MOST
