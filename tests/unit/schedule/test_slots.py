"""When a task is due: golden cases around changes of the clock, and a comparison with the slowest possible way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.core.schedule import wall
from supervisor.core.schedule.cron import Cron
from supervisor.core.schedule.slots import AnyOf, Daily, Every, Once, Trigger, trigger
from supervisor.core.spec import TaskSettings

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def text(slot: float | None) -> str | None:
    return None if slot is None else f"{datetime.fromtimestamp(slot, UTC):%m-%d %H:%M}"


def made(**keys: object) -> Trigger:
    return trigger(TaskSettings(run="tasks:run", **keys))  # type: ignore[arg-type]


def within(due: Trigger, first: str, last: str) -> list[str | None]:
    return [text(slot) for slot in due.between(at(first), at(last))]


def test_an_interval_lies_on_a_grid_from_the_epoch() -> None:
    assert Every(30).next_after(at("2026-11-25T10:00:07")) == at("2026-11-25T10:00:30")
    assert Every(30).next_after(at("2026-11-25T10:00:30")) == at("2026-11-25T10:01:00")
    assert Every(30).next_after(at("2026-11-25T10:00:29.999")) == at("2026-11-25T10:00:30")


def test_an_interval_has_all_its_slots_in_a_day_whatever_the_zone_does() -> None:
    for day in ("2026-03-29", "2026-10-25", "2026-11-01"):
        start = at(f"{day}T00:00")
        assert len(list(made(every=300.0, timezone=NEW_YORK).between(start, start + 86400))) == 288


@given(st.integers(1, 10_000_000), st.floats(0, 4e9))
def test_an_interval_names_each_slot_by_one_number_only(ms: int, t: float) -> None:
    due = Every(ms / 1000)
    slot = due.next_after(t)
    assert slot is not None
    assert t < slot <= t + ms / 1000 + 0.001
    assert due.last_between(t - ms / 1000, slot) == slot
    assert due.next_after(slot - 0.0005) == slot


def test_an_interval_counts_and_finds_its_last_slot_without_walking() -> None:
    due = Every(0.5)
    last = due.last_between(0, 3e9)
    assert last == 3e9
    assert due.count(0.5, 3e9, most=1) == 6_000_000_000
    assert due.last_between(10.1, 10.4) is None


DST = [
    # what, zone, from, until (UTC), the slots (UTC)
    ({"at": ("02:30",)}, BERLIN, "2026-03-28T00:00", "2026-03-31T00:00", ["03-28 01:30", "03-29 01:00", "03-30 00:30"]),
    ({"at": ("02:30",)}, BERLIN, "2026-10-24T00:00", "2026-10-27T00:00", ["10-24 00:30", "10-25 00:30", "10-26 01:30"]),
    ({"at": ("06:30",)}, BERLIN, "2026-10-24T12:00", "2026-10-26T12:00", ["10-25 05:30", "10-26 05:30"]),
    ({"at": ("02:30",)}, NEW_YORK, "2026-03-07T12:00", "2026-03-09T12:00", ["03-08 07:00", "03-09 06:30"]),
    ({"at": ("01:30",)}, NEW_YORK, "2026-10-31T12:00", "2026-11-02T12:00", ["11-01 05:30", "11-02 06:30"]),
    # Lord Howe shifts by half an hour: 02:00 -> 02:30 on 4 October, 02:00 -> 01:30 on 5 April
    ({"at": ("02:15",)}, LORD_HOWE, "2026-10-03T00:00", "2026-10-05T00:00", ["10-03 15:30", "10-04 15:15"]),
    (
        {"at": ("01:45",)}, LORD_HOWE, "2026-04-03T00:00", "2026-04-06T00:00",
        ["04-03 14:45", "04-04 14:45", "04-05 15:15"],
    ),
    ({"cron": "30 2 * * *"}, BERLIN, "2026-03-28T12:00", "2026-03-30T12:00", ["03-29 01:00", "03-30 00:30"]),
    ({"cron": "30 2 * * *"}, BERLIN, "2026-10-24T12:00", "2026-10-26T12:00", ["10-25 00:30", "10-26 01:30"]),
    ({"cron": "0 30 2 * * *"}, BERLIN, "2026-10-24T12:00", "2026-10-25T12:00", ["10-25 00:30"]),
    ({"cron": "*/30 2 * * *"}, BERLIN, "2026-03-28T12:00", "2026-03-30T12:00", ["03-30 00:00", "03-30 00:30"]),
    (
        {"cron": "*/30 * * * *"}, BERLIN, "2026-10-24T23:45", "2026-10-25T02:15",
        ["10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30", "10-25 02:00"],
    ),
    (
        {"cron": "0 */2 * * *"}, LORD_HOWE, "2026-04-04T12:00", "2026-04-04T18:00",
        ["04-04 13:00", "04-04 15:30", "04-04 17:30"],
    ),
    (
        {"cron": "0 * * * *"}, NEW_YORK, "2026-11-01T04:30", "2026-11-01T07:30",
        ["11-01 05:00", "11-01 06:00", "11-01 07:00"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "zone", "first", "last", "expected"), DST)
def test_each_wall_slot_is_due_once_around_a_change_of_the_clock(
    keys: dict[str, object], zone: str, first: str, last: str, expected: list[str]
) -> None:
    assert within(made(timezone=zone, **keys), first, last) == expected


def test_asking_in_the_second_pass_of_a_doubled_hour_does_not_go_back() -> None:
    second_pass = at("2026-10-25T01:15")  # 02:15 for the second time
    for due in (made(at=("02:30",), timezone=BERLIN), made(cron="30 2 * * *", timezone=BERLIN)):
        assert text(due.next_after(second_pass)) == "10-26 01:30"


def test_a_day_that_a_zone_skipped_is_due_at_its_end() -> None:
    """Samoa had no 30 December 2011."""
    due = made(at=("12:00",), timezone="Pacific/Apia")
    days = [text(slot) for slot in due.between(at("2011-12-29T12:00"), at("2012-01-01T00:00"))]
    assert days == ["12-29 22:00", "12-30 10:00", "12-30 22:00", "12-31 22:00"]


def test_several_times_and_some_days() -> None:
    due = made(at=("18:00:05", "06:30"), on=("mon", "wed"), timezone="UTC")
    found = within(due, "2026-11-23T00:00", "2026-11-30T00:00")
    assert found == ["11-23 06:30", "11-23 18:00", "11-25 06:30", "11-25 18:00"]


def test_two_times_in_one_gap_are_one_slot() -> None:
    due = made(at=("02:10", "02:40"), timezone=BERLIN)
    assert within(due, "2026-03-28T12:00", "2026-03-29T12:00") == ["03-29 01:00"]


def test_once_is_due_once() -> None:
    due = made(once="2026-12-24T18:00:00+01:00")
    assert text(due.next_after(0)) == "12-24 17:00"
    assert due.next_after(at("2026-12-24T17:00")) is None
    assert due.last_between(0, at("2026-12-24T16:00")) is None
    assert due.last_between(0, 4e9) == at("2026-12-24T17:00")
    assert made(once="2026-12-24T18:00:00", timezone=NEW_YORK).next_after(0) == at("2026-12-24T23:00")


@pytest.mark.parametrize("expression", ["0 0 */31 * 5#5", "* * */31 * 5#5"])
def test_a_cron_date_that_never_comes_is_never_due(expression: str) -> None:
    """The first of a month is never its fifth Friday."""
    assert made(cron=expression).next_after(at("2026-01-01T00:00")) is None


def test_a_rare_cron_date_is_found() -> None:
    assert made(cron="0 0 * 2 mon#5", timezone=BERLIN).next_after(at("2026-01-01T00:00")) == at("2044-02-28T23:00")
    assert made(cron="*/5 3 29 2 *", timezone=BERLIN).next_after(at("2026-01-01T00:00")) == at("2028-02-29T02:00")


def brute(keys: dict[str, object], zone: ZoneInfo, after: float, seconds: int) -> list[int]:
    """Every second of the span, one by one: which of them does the wall clock make a slot."""
    hours, minutes = keys["hours"], keys["minutes"]
    assert isinstance(hours, set)
    assert isinstance(minutes, set)
    return [
        t
        for t in range(int(after) + 1, int(after) + seconds + 1)
        if t % 60 == 0
        and (w := datetime.fromtimestamp(t, zone)).minute in minutes
        and w.hour in hours
        and w.second == 0
    ]


CHANGES = [at(t) for t in ("2026-03-29T01:00", "2026-10-25T01:00", "2026-03-08T07:00", "2026-11-01T06:00")]
CHANGES += [at(t) for t in ("2026-04-04T15:00", "2026-10-03T15:30", "2026-07-01T00:00")]
zones = st.sampled_from([ZoneInfo(name) for name in (BERLIN, NEW_YORK, LORD_HOWE, "UTC", "Asia/Kathmandu")])
moments = st.builds(lambda change, shift: change + shift, st.sampled_from(CHANGES), st.integers(-30_000, 20_000))


@settings(deadline=None, max_examples=60)
@given(zones, moments, st.sampled_from([1, 7, 15, 30]), st.sampled_from([1, 2, 3, 6]))
def test_wildcards_follow_the_clock_as_the_slowest_way_does(
    zone: ZoneInfo, after: float, minutes: int, hours: int
) -> None:
    due = Cron(f"*/{minutes} */{hours} * * *", zone)
    expected = brute({"hours": set(range(0, 24, hours)), "minutes": set(range(0, 60, minutes))}, zone, after, 30_000)
    assert list(due.between(after, after + 30_000)) == expected


@settings(deadline=None, max_examples=100)
@given(zones, moments, st.sets(st.integers(0, 3), min_size=1), st.sets(st.integers(0, 59), min_size=1, max_size=4))
def test_fixed_times_come_once_a_day_as_the_slowest_way_says(
    zone: ZoneInfo, after: float, hours: set[int], minutes: set[int]
) -> None:
    """The first second at which the wall clock shows, or has jumped over, the time of day."""
    times = [f"{h:02}:{m:02}" for h in hours for m in minutes]
    expected = {t for wall_time in times for t in slowest_fixed(wall_time, zone, after, 100_000)}
    cron = Cron(f"{','.join(map(str, sorted(minutes)))} {','.join(map(str, sorted(hours)))} * * *", zone)
    daily = made(at=tuple(times), timezone=zone.key)
    assert list(cron.between(after, after + 100_000)) == sorted(expected)
    assert list(daily.between(after, after + 100_000)) == sorted(expected)


def slowest_fixed(wall_time: str, zone: ZoneInfo, after: float, seconds: int) -> list[int]:
    found = []
    day = datetime.fromtimestamp(after, zone).date() - timedelta(days=1)
    for n in range(4):
        goal = datetime.combine(day + timedelta(days=n), wall.time_of_day(wall_time))
        t = int(datetime.combine(goal, datetime.min.time().replace(hour=0), tzinfo=UTC).timestamp()) - 14 * 3600
        while datetime.fromtimestamp(t, zone).replace(tzinfo=None) < goal:
            t += 60  # every change in these zones falls on a whole minute
        found.append(t)
    return [t for t in found if after < t <= after + seconds]


@settings(deadline=None)
@given(moments, st.integers(0, 200_000), zones)
def test_the_last_slot_is_found_without_walking(after: float, span: int, zone: ZoneInfo) -> None:
    for due in (Cron("*/7 3 * * *", zone), Cron("5 4 * * *", zone), made(at=("01:30", "02:15"), timezone=zone.key)):
        walked = list(due.between(after, after + span))
        assert due.last_between(after, after + span) == (walked[-1] if walked else None)


def test_counting_ends_at_its_bound() -> None:
    due = Cron("* * * * *", ZoneInfo("UTC"))
    assert due.count(0, 600, most=100) == 11
    assert due.count(0, 600, most=10) is None


def test_any_of_gives_each_instant_once() -> None:
    due = AnyOf((Every(2), Every(3), Once(1.0)))
    assert list(due.between(0, 8)) == [1.0, 2, 3, 4, 6, 8]
    assert AnyOf(()).next_after(0) is None
    assert AnyOf((Every(0.2), Once(5.0))).last_between(0, 0.75) == 0.6
    assert due.last_between(8.5, 8.9) is None
    assert due.describe() == "every 2s; every 3s; once at 1970-01-01 00:00:01Z"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"every": 30.0}, "every 30s"),
        ({"every": 5400.5}, "every 1h30m500ms"),
        ({"at": ("06:30",)}, "at 06:30 UTC"),
        ({"at": ("18:00:05", "06:30"), "on": ("mon", "tue", "wed", "fri")}, "at 06:30, 18:00:05 mon-wed, fri UTC"),
        ({"at": ("06:30",), "on": ("sat", "sun"), "timezone": BERLIN}, "at 06:30 sat, sun Europe/Berlin"),
        ({"at": ("06:30",), "on": wall.DAYS}, "at 06:30 UTC"),
        ({"cron": "0 3 * * 1-5", "timezone": BERLIN}, "at 03:00 on Monday through Friday Europe/Berlin"),
        ({"cron": "@daily"}, "at 00:00 every day UTC"),
        ({"once": "2026-12-24T17:00:00Z"}, "once at 2026-12-24 17:00:00Z"),
    ],
)
def test_a_schedule_can_be_read(keys: dict[str, object], said: str) -> None:
    assert made(**keys).describe() == said


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "expected one of every, at, cron, once"),
        ({"every": 0.0}, "at least 1ms"),
        ({"at": ("24:00",)}, 'found "24:00"'),
        ({"at": ("6:30",)}, 'found "6:30"'),
        ({"at": ("06:30",), "on": ("monday",)}, 'found "monday"'),
        ({"at": ("06:30",), "timezone": "Europe/Bern"}, 'found "Europe/Bern"'),
        ({"at": ("06:30",), "timezone": "../etc/passwd"}, "timezone"),
        ({"cron": "61 * * * *"}, "bad minute"),
        ({"cron": "* * *"}, "expected 5 fields, or 6 with seconds first, found 3"),
        ({"cron": "@fortnightly"}, "expected one of @hourly"),
        ({"once": "tomorrow"}, 'found "tomorrow"'),
    ],
)
def test_what_cannot_be_read_is_said(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        made(**keys)
    assert said in str(caught.value)


def test_a_daily_task_is_due_every_single_day_for_years() -> None:
    due = Daily((wall.time_of_day("02:30"),), frozenset(), ZoneInfo(BERLIN))
    days = [
        datetime.fromtimestamp(s, due.zone).date() for s in due.between(at("2020-01-01T00:00"), at("2030-01-01T00:00"))
    ]
    assert len(days) == len(set(days)) == 3653
