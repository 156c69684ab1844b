"""The slots to come: by time, with what a change of the clock does, and whether the runs fit between them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from supervisor.core.schedule import outlook
from supervisor.core.schedule.slots import AnyOf, Trigger, trigger
from supervisor.core.spec import TaskSettings

BERLIN, LORD_HOWE = "Europe/Berlin", "Australia/Lord_Howe"


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def made(**keys: object) -> Trigger:
    return trigger(TaskSettings(run="tasks:run", **keys))  # type: ignore[arg-type]


def test_the_slots_of_all_tasks_come_by_time_and_so_many_of_each() -> None:
    tasks = {"fast": made(every=60.0), "slow": made(every=150.0), "over": made(once="2000-01-01T00:00:00Z")}
    found = outlook.coming(tasks, 0.0, 1000.0, 2)
    assert [(each.slot, each.task) for each in found] == [(60, "fast"), (120, "fast"), (150, "slow"), (300, "slow")]
    assert [each.slot for each in outlook.coming(tasks, 0.0, 130.0, 9)] == [60, 120]


SHIFTS = [
    # what, zone, from, the slot (UTC), what the clock does there
    ({"at": ("02:30",)}, BERLIN, "2026-03-28T12:00", "2026-03-29T01:00", "gap"),
    ({"at": ("03:00",)}, BERLIN, "2026-03-28T12:00", "2026-03-29T01:00", None),
    ({"at": ("02:30", "03:00")}, BERLIN, "2026-03-28T12:00", "2026-03-29T01:00", "gap"),
    ({"at": ("02:30", "03:00")}, BERLIN, "2026-03-29T12:00", "2026-03-30T00:30", None),
    ({"at": ("02:30",), "on": ("mon",)}, BERLIN, "2026-03-29T12:00", "2026-03-30T00:30", None),
    ({"cron": "0,30 2,3 * * *"}, BERLIN, "2026-03-28T12:00", "2026-03-29T01:00", "gap"),
    ({"at": ("02:30",), "start": "2026-03-01"}, BERLIN, "2026-03-28T12:00", "2026-03-29T01:00", "gap"),
    ({"at": ("02:30",)}, BERLIN, "2026-10-24T12:00", "2026-10-25T00:30", "fold"),
    ({"cron": "30 2 * * *"}, BERLIN, "2026-03-28T12:00", "2026-03-29T01:00", "gap"),
    ({"cron": "30 2 * * *"}, BERLIN, "2026-10-24T12:00", "2026-10-25T00:30", "fold"),
    ({"cron": "*/30 * * * *"}, BERLIN, "2026-03-29T00:45", "2026-03-29T01:00", None),
    ({"cron": "*/30 * * * *"}, BERLIN, "2026-10-25T01:15", "2026-10-25T01:30", "fold"),
    ({"at": ("02:15",)}, LORD_HOWE, "2026-10-03T12:00", "2026-10-03T15:30", "gap"),
    ({"at": ("01:45",)}, LORD_HOWE, "2026-04-04T12:00", "2026-04-04T14:45", "fold"),
    ({"every": 3600.0}, BERLIN, "2026-10-25T00:30", "2026-10-25T01:00", None),
]


@pytest.mark.parametrize(("keys", "zone", "after", "slot", "shift"), SHIFTS)
def test_a_slot_says_what_the_clock_does_there(
    keys: dict[str, object], zone: str, after: str, slot: str, shift: str | None
) -> None:
    due = made(timezone=zone, **keys)
    (found,) = outlook.coming({"a": due}, at(after), at(after) + 86400, 1)
    assert (found.slot, found.shift) == (at(slot), shift)
    assert outlook.shift(AnyOf((made(every=60.0), due)), found.slot) == shift


def test_both_passes_of_an_hour_are_told_apart() -> None:
    due = made(cron="30 * * * *", timezone=BERLIN)
    found = outlook.coming({"a": due}, at("2026-10-25T00:00"), at("2026-10-25T03:00"), 9)
    assert [outlook.said(each, due) for each in found] == [
        "DST fold: this time comes twice, the first",
        "DST fold: this time comes twice, the second",
        "",
    ]
    nightly = made(at=("02:30",), timezone=BERLIN)
    (gap,) = outlook.coming({"a": nightly}, at("2026-03-28T12:00"), at("2026-03-29T12:00"), 1)
    assert outlook.said(gap, nightly) == "DST gap: its time is skipped, due at the end of the gap"


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"at": ("02:30",), "timezone": BERLIN}, "2027-03-28T01:00"),
        ({"at": ("02:30",), "on": ("mon",), "timezone": BERLIN}, None),  # the clock changes on a Sunday
        ({"at": ("02:30",), "timezone": BERLIN, "end": "2027-03-27"}, None),
        ({"at": ("02:30",), "timezone": "Pacific/Kiritimati"}, None),
        ({"cron": "0 30 2 * * *", "timezone": BERLIN}, "2027-03-28T01:00"),
        ({"cron": "*/30 2 * * *", "timezone": BERLIN}, None),  # follows the clock: no slot that day
        ({"every": 60.0, "timezone": BERLIN}, None),
    ],
)
def test_a_time_that_does_not_exist_is_found_a_year_ahead(keys: dict[str, object], found: str | None) -> None:
    assert outlook.gap(made(**keys), at("2026-11-25")) == (at(found) if found else None)


def test_the_shortest_time_between_two_slots_is_what_a_run_may_take() -> None:
    assert outlook.interval(made(every=30.0), 0.0) == 30.0
    assert outlook.interval(made(at=("03:00", "03:20")), 0.0) == 1200.0
    assert outlook.interval(made(once="2026-01-01T00:00:00Z"), 0.0) is None
    assert outlook.interval(made(every=30.0, end="1970-01-01"), 86000.0) == 30.0


def test_one_slow_run_in_twenty_is_no_measure() -> None:
    assert outlook.p95([1.0] * 19 + [100.0]) == 1.0
    assert outlook.p95([1.0] * 18 + [50.0, 100.0]) == 50.0
    assert outlook.p95([100.0] * 4) is None


def test_what_will_not_go_as_planned_is_said() -> None:
    tick = made(every=30.0)
    assert list(outlook.warnings(tick, [23.0] * 10, 0.0)) == []
    assert list(outlook.warnings(tick, [25.0] * 10, 0.0, near=1.0)) == []
    (near,) = outlook.warnings(tick, [25.0] * 10, 0.0)
    assert near.startswith("its interval of 30s is nearly used up: 1 in 20 of the last 10 runs took 25s or more")
    (over,) = outlook.warnings(tick, [31.0] * 10, 0.0, near=1.0)
    assert over.startswith("its interval of 30s cannot be met")
    (gap,) = outlook.warnings(made(at=("02:30",), timezone=BERLIN), [], at("2026-11-25"))
    assert gap == "a time of it does not exist on 2027-03-28 in Europe/Berlin: that slot is instead at 03:00"


@pytest.mark.parametrize(
    "keys",
    [
        {"at": ("02:30", "03:00")},
        {"at": ("02:10", "02:50"), "end": "2027-12-31"},
        {"cron": "0,30 2,3 * * *"},
    ],
)
def test_slots_that_become_one_at_the_end_of_a_gap_are_named(keys: dict[str, object]) -> None:
    due = made(timezone=BERLIN, **keys)
    (said,) = outlook.warnings(due, [], at("2026-11-25"))
    assert said == "a time of it does not exist on 2027-03-28 in Europe/Berlin: several slots are one, at 03:00"
    (found,) = outlook.coming({"a": due}, at("2027-03-28T00:59:59"), at("2027-03-28T01:00"), 9)
    assert outlook.said(found, due) == "DST gap: a time is skipped, due at the end of the gap"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"cron": "*/30 2 * * *"},
            ["it has no slot on 2027-03-28 in Europe/Berlin: its times do not exist on that day"],
        ),
        ({"cron": "*/30 2 * * *", "end": "2027-03-27"}, []),
        ({"cron": "*/30 2 * * *", "end": "2027-03-28T05:00:00"}, ["it has no slot on 2027-03-28"]),
        ({"cron": "*/30 2 * * mon"}, []),
        ({"cron": "*/30 1,2 * * *"}, []),
        ({"cron": "0 */2 * * *"}, []),
        ({"cron": "*/30 4 * * *"}, []),
    ],
)
def test_a_day_that_a_gap_leaves_without_a_slot_is_named(keys: dict[str, object], said: list[str]) -> None:
    found = list(outlook.warnings(made(timezone=BERLIN, **keys), [], at("2026-11-25")))
    assert len(found) == len(said)
    assert all(each.startswith(start) for each, start in zip(found, said, strict=True))
