"""golden.toml, case by case: exact slots around every kind of change, wherever the machine itself believes to be.

What the table expects was reckoned by hand, from the calendars of the zones, not printed by the code.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from supervisor.child.schedule.clock import Scheduler, build
from supervisor.core.schedule.missed import Range, due
from supervisor.core.schedule.slots import Trigger, from_text, to_text, trigger
from supervisor.core.spec import TaskSettings

GOLDEN = tomllib.loads((Path(__file__).parent / "golden.toml").read_text())
HOSTS = ["UTC", "America/New_York", "Australia/Lord_Howe"]  # TZ of the machine: zones that change, one by half an hour
ZONES = {"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati", "Asia/Kolkata"}
KEYS = {"every", "at", "cron", "once", "on", "start", "end", "align", "offset"}

Case = Mapping[str, Any]


def cases(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", GOLDEN[kind], ids=lambda case: case["what"])


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def settings(case: Case) -> TaskSettings:
    keys: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in case["task"].items()
    }
    return TaskSettings(run="tasks:run", **keys)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def shown(slot: float, zone: str) -> str:
    """As the table has it: the reading of the clock, and its offset; seconds only where there are some."""
    when = datetime.fromtimestamp(slot, ZoneInfo(zone))
    return when.isoformat(timespec="seconds" if when.second else "minutes")


def walked(due: Trigger, case: Case) -> list[str]:
    zone = case["task"].get("timezone", "UTC")
    return [shown(slot, zone) for slot in due.between(at(case["from"]), at(case["until"]))]


@cases("slots")
def test_a_schedule_has_exactly_these_slots_on_every_machine(case: Case, host: str) -> None:
    assert walked(trigger(settings(case)), case) == case["slots"], host


@cases("slots")
def test_the_runner_and_who_reads_its_ledger_have_the_same_slots(case: Case, host: str) -> None:
    """One builds jobs of the `schedule` library, the other knows only what the ledger says."""
    scheduler = Scheduler(lambda: at(case["from"]))
    build(scheduler, settings(case), print)
    assert walked(scheduler.trigger, case) == case["slots"], host
    assert walked(from_text(to_text(settings(case))), case) == case["slots"], host


@cases("slots")
def test_from_any_instant_on_the_slots_are_the_same(case: Case) -> None:
    """As after a restart: asked in the middle between two slots, a moment before one, and backwards."""
    found, slots = trigger(settings(case)), [at(text) for text in case["slots"]]
    for before, slot in zip([at(case["from"]), *slots], slots, strict=False):
        assert found.next_after(before) == slot
        assert found.next_after((before + slot) / 2) == slot
        assert found.next_after(slot - 0.001) == slot
        assert found.last_between(before, slot) == slot
        assert found.last_between(before, slot - 0.001) is None
    assert found.count(slots[0], slots[-1], most=100) == len(slots)


@cases("steps")
def test_a_clock_that_jumps_has_exactly_these_consequences(case: Case, host: str) -> None:
    task = settings(case)
    decision = due(trigger(task), at(case["settled"]), at(case["now"]), task, case["why"])
    assert [shown(slot, task.timezone) for slot in decision.run] == case["run"], host
    expected = [Range(at(first), at(last), n, "missed", case["why"]) for first, last, n in case["missed"]]
    assert list(decision.closed) == expected


def test_the_table_has_the_zones_and_the_keys_that_go_wrong_elsewhere() -> None:
    tasks = [case["task"] for case in GOLDEN["slots"]]
    assert {task.get("timezone") for task in tasks} >= ZONES
    assert {key for task in tasks for key in task} >= KEYS
