"""`start`, `end`, `align` and `offset`: the same slots on every host, after every start, and none outside."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.child.schedule.clock import Scheduler, build
from supervisor.core.config.load import load
from supervisor.core.config.moments import spread
from supervisor.core.schedule.slots import Every, Trigger, from_text, to_text, trigger
from supervisor.core.spec import TaskSettings

BERLIN = "Europe/Berlin"


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def made(**keys: object) -> Trigger:
    return trigger(TaskSettings(run="tasks:run", **keys))  # type: ignore[arg-type]


def within(due: Trigger, first: str, last: str) -> list[str]:
    return [f"{datetime.fromtimestamp(slot, UTC):%m-%d %H:%M}" for slot in due.between(at(first), at(last))]


def test_no_slot_lies_before_the_start_or_after_the_end() -> None:
    due = made(every=3600.0, start="2026-11-25T10:00:00Z", end="2026-11-25T12:00:00Z")
    assert within(due, "2026-01-01", "2027-01-01") == ["11-25 10:00", "11-25 11:00", "11-25 12:00"]
    assert due.next_after(at("2026-11-25T12:00")) is None
    assert due.last_between(0, at("2027-01-01")) == at("2026-11-25T12:00")
    assert due.last_between(at("2026-11-26"), at("2027-01-01")) is None
    assert due.last_between(0, at("2026-11-25T09:59")) is None
    assert due.count(at("2026-11-25T10:00"), at("2026-11-25T12:00"), most=10) == 3


def test_a_date_is_a_whole_day_of_the_zone_on_the_days_of_23_and_25_hours_too() -> None:
    for day, first, last in (
        ("2026-03-29", "03-28 23:00", "03-29 21:00"),
        ("2026-10-25", "10-24 22:00", "10-25 22:00"),
    ):
        slots = within(made(every=3600.0, timezone=BERLIN, start=day, end=day), "2026-01-01", "2027-01-01")
        assert (slots[0], slots[-1]) == (first, last)
        assert len(slots) == (23 if day == "2026-03-29" else 25)


def test_a_time_without_an_offset_is_one_of_the_zone() -> None:
    due = made(at=("08:00",), timezone=BERLIN, start="2026-12-01T08:00:01", end="2026-12-03T08:00:00")
    assert within(due, "2026-01-01", "2027-01-01") == ["12-02 07:00", "12-03 07:00"]


def test_one_bound_alone_leaves_the_other_side_open() -> None:
    assert made(cron="0 0 1 1 *", start="2030-06-01").next_after(0) == at("2031-01-01")
    assert made(cron="0 0 1 1 *", end="1972-01-01").next_after(0) == at("1971-01-01")
    assert made(cron="0 0 1 1 *", end="1972-01-01").next_after(at("1972-01-01")) is None


def test_a_grid_may_begin_at_the_start_and_be_moved() -> None:
    aligned = made(every=25200.0, align="start", start="2026-11-25T09:07:00Z")
    assert within(aligned, "2026-11-25", "2026-11-26") == ["11-25 09:07", "11-25 16:07", "11-25 23:07"]
    moved = made(every=3600.0, offset=420.0)
    assert within(moved, "2026-11-25T09:00", "2026-11-25T11:00") == ["11-25 09:07", "11-25 10:07"]
    both = made(every=25200.0, align="start", offset=60.0, start="2026-11-25T09:07:00Z")
    assert within(both, "2026-11-25", "2026-11-25T17:00") == ["11-25 09:08", "11-25 16:08"]


@given(st.integers(100, 10_000_000), st.floats(0, 4e9), st.floats(0, 0.999))
def test_a_moved_grid_names_each_slot_by_one_number_only(ms: int, t: float, share: float) -> None:
    due = Every(ms / 1000, round(ms / 1000 * share, 3))
    slot = due.next_after(t)
    assert slot is not None
    assert t < slot <= t + ms / 1000 + 0.001
    assert due.last_between(t - ms / 1000, slot) == slot
    assert due.next_after(slot - 0.0005) == slot


def test_tasks_of_one_interval_are_spread_by_their_names_and_stay_where_they_are() -> None:
    offsets = [spread(f"task_{n}", 3600.0) for n in range(600)]
    assert all(0 <= offset < 3600 and offset == int(offset) for offset in offsets)
    assert len(set(offsets)) > 500
    assert max(sum(offset // 600 == sixth for offset in offsets) for sixth in range(6)) < 150
    assert (spread("notifications", 3600.0), spread("notifications", 30.0)) == (1964.0, 16.372)


def test_an_offset_by_name_is_in_the_plan_as_seconds() -> None:
    text = b'[tasks.notifications]\nrun = "m:f"\nevery = "1h"\noffset = "auto"\n'
    (child,) = load(text, file="config.toml", env={}, project_dir="/project").plan.children
    assert isinstance(child.settings, TaskSettings)
    assert child.settings.offset == spread("notifications", 3600.0)
    assert child.when == "every 1h offset 32m44s"


def test_jitter_moves_the_start_of_a_run_and_never_its_slot() -> None:
    clock = 1000.0
    scheduler = Scheduler(lambda: clock, delay=lambda: 7.5)
    settings = TaskSettings(run="m:f", every=60.0, jitter=10.0, offset=5.0)
    build(scheduler, settings, print)
    assert (scheduler.next_slot, scheduler.idle_seconds) == (1025.0, 32.5)
    assert scheduler.trigger == trigger(settings)


@pytest.mark.parametrize(
    "keys",
    [
        {"every": 60.0, "offset": 7.0},
        {"every": 60.0, "start": "2026-11-25", "align": "start"},
        {"at": ("06:30", "18:00"), "on": ("mon",), "timezone": BERLIN, "end": "2026-12-24"},
        {"cron": "*/5 * * * *", "start": "2026-11-25T12:00:00"},
    ],
)
def test_the_builder_and_the_ledger_keep_the_bounds(keys: dict[str, object]) -> None:
    settings = TaskSettings(run="m:f", **keys)  # type: ignore[arg-type]
    scheduler = Scheduler(lambda: 1000.0)
    build(scheduler, settings, print)
    assert scheduler.trigger == trigger(settings) == from_text(to_text(settings))


def test_a_ledger_of_an_earlier_release_is_read() -> None:
    text = '{"every": 30.0, "at": [], "on": [], "cron": null, "once": null, "timezone": "UTC"}'
    assert from_text(text) == Every(30.0)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"every": 3600.0, "offset": 420.0}, "every 1h offset 7m"),
        ({"every": 30.0, "start": "2026-11-25"}, "every 30s from 2026-11-25 00:00:00Z"),
        (
            {"at": ("06:30",), "timezone": BERLIN, "end": "2026-12-24"},
            "at 06:30 Europe/Berlin until 2026-12-24 22:59:59Z",
        ),
    ],
)
def test_a_bounded_schedule_can_be_read(keys: dict[str, object], said: str) -> None:
    assert made(**keys).describe() == said


@pytest.mark.parametrize(
    "text", ["2026-02-30", "2026-13-01", "tomorrow", "", "0001-01-01T00:00:00", "9999-12-31", "2026"]
)
def test_a_date_that_there_is_not_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="end: expected a date or time"):
        made(every=60.0, timezone="Pacific/Kiritimati", end=text)
