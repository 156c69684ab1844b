"""Exact slots around every change of a clock, whatever the zone of the host, and against the slowest possible way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.core.schedule.missed import Decision, Range, due
from supervisor.core.schedule.slots import Trigger, trigger
from supervisor.core.spec import TaskSettings

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
KIRITIMATI, KOLKATA = "Pacific/Kiritimati", "Asia/Kolkata"


@pytest.fixture(autouse=True, params=["UTC", NEW_YORK, LORD_HOWE])
def host(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of the host is never that of the task alone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def made(zone: str, written: str) -> Trigger:
    """`at 02:30`, `cron 30 2 * * *` or `every 3600`."""
    key, _, value = written.partition(" ")
    found: dict[str, object] = {"at": (value,)} if key == "at" else {key: float(value) if key == "every" else value}
    return trigger(TaskSettings(run="tasks:run", timezone=zone, **found))  # type: ignore[arg-type]


def shown(due: Trigger, zone: str, first: str, last: str) -> str:
    """The slots of these days, as the clock in the zone shows them: 29.03:00+0200."""
    there = ZoneInfo(zone)
    begin = datetime.fromisoformat(first).replace(tzinfo=there).timestamp()
    end = datetime.combine(date.fromisoformat(last) + timedelta(days=1), datetime.min.time(), tzinfo=there).timestamp()
    return " ".join(f"{datetime.fromtimestamp(t, there):%d.%H:%M%z}" for t in due.between(begin - 1, end - 1))


GOLDEN = [
    # zone, schedule, first and last day, the slots by the clock on the wall
    # 02:00 becomes 03:00 on 29 March: what lies between is due at the end of the gap; wildcards have no slot there
    (BERLIN, "at 02:30", "2026-03-28", "2026-03-30", "28.02:30+0100 29.03:00+0200 30.02:30+0200"),
    (BERLIN, "at 01:45", "2026-03-28", "2026-03-30", "28.01:45+0100 29.01:45+0100 30.01:45+0200"),
    (BERLIN, "cron 30 2 * * *", "2026-03-28", "2026-03-30", "28.02:30+0100 29.03:00+0200 30.02:30+0200"),
    (BERLIN, "cron */30 1-3 * * *", "2026-03-29", "2026-03-29",
     "29.01:00+0100 29.01:30+0100 29.03:00+0200 29.03:30+0200"),
    # 03:00 becomes 02:00 on 25 October: fixed times are due the first time, wildcards both times
    (BERLIN, "at 02:30", "2026-10-24", "2026-10-26", "24.02:30+0200 25.02:30+0200 26.02:30+0100"),
    (BERLIN, "at 03:00", "2026-10-24", "2026-10-26", "24.03:00+0200 25.03:00+0100 26.03:00+0100"),
    (BERLIN, "cron 30 2 * * *", "2026-10-24", "2026-10-26", "24.02:30+0200 25.02:30+0200 26.02:30+0100"),
    (BERLIN, "cron */30 2 * * *", "2026-10-25", "2026-10-25",
     "25.02:00+0200 25.02:30+0200 25.02:00+0100 25.02:30+0100"),
    (BERLIN, "cron 0 */12 * * *", "2026-10-25", "2026-10-25", "25.00:00+0200 25.12:00+0100"),
    (BERLIN, "cron 0 30 2 * * *", "2026-10-25", "2026-10-25", "25.02:30+0200"),
    (BERLIN, "every 43200", "2026-10-25", "2026-10-25", "25.02:00+0200 25.13:00+0100"),
    (NEW_YORK, "at 02:30", "2026-03-07", "2026-03-09", "07.02:30-0500 08.03:00-0400 09.02:30-0400"),
    (NEW_YORK, "cron 30 2 * * *", "2026-03-07", "2026-03-09", "07.02:30-0500 08.03:00-0400 09.02:30-0400"),
    (NEW_YORK, "at 01:45", "2026-10-31", "2026-11-02", "31.01:45-0400 01.01:45-0400 02.01:45-0500"),
    (NEW_YORK, "at 06:30", "2026-10-31", "2026-11-02", "31.06:30-0400 01.06:30-0500 02.06:30-0500"),
    (NEW_YORK, "cron */30 1 * * *", "2026-11-01", "2026-11-01",
     "01.01:00-0400 01.01:30-0400 01.01:00-0500 01.01:30-0500"),
    # half an hour: 02:00 becomes 02:30 on 4 October, 02:00 becomes 01:30 on 5 April
    (LORD_HOWE, "at 02:15", "2026-10-03", "2026-10-05", "03.02:15+1030 04.02:30+1100 05.02:15+1100"),
    (LORD_HOWE, "at 01:45", "2026-04-04", "2026-04-06", "04.01:45+1100 05.01:45+1100 06.01:45+1030"),
    (LORD_HOWE, "cron 45 1 * * *", "2026-04-04", "2026-04-06", "04.01:45+1100 05.01:45+1100 06.01:45+1030"),
    (LORD_HOWE, "cron */15 1 * * *", "2026-04-05", "2026-04-05",
     "05.01:00+1100 05.01:15+1100 05.01:30+1100 05.01:45+1100 05.01:30+1030 05.01:45+1030"),
    # zones whose clock is never changed, one of them a day ahead of UTC
    (KIRITIMATI, "at 02:30", "2026-03-28", "2026-03-30", "28.02:30+1400 29.02:30+1400 30.02:30+1400"),
    (KIRITIMATI, "cron 30 2 * * sun", "2026-10-19", "2026-11-01", "25.02:30+1400 01.02:30+1400"),
    (KOLKATA, "at 02:30", "2026-10-24", "2026-10-26", "24.02:30+0530 25.02:30+0530 26.02:30+0530"),
    (KOLKATA, "cron 0 */12 * * *", "2026-03-29", "2026-03-29", "29.00:00+0530 29.12:00+0530"),
    # the leap day
    ("UTC", "at 06:30", "2028-02-28", "2028-03-01", "28.06:30+0000 29.06:30+0000 01.06:30+0000"),
    (BERLIN, "cron 0 12 29 2 *", "2026-01-01", "2032-12-31", "29.12:00+0100 29.12:00+0100"),
    ("UTC", "cron 0 12 31 * *", "2026-03-01", "2026-08-31", "31.12:00+0000 31.12:00+0000 31.12:00+0000 31.12:00+0000"),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "written", "first", "last", "expected"), GOLDEN)
def test_the_slots_are_exactly_these(zone: str, written: str, first: str, last: str, expected: str) -> None:
    assert shown(made(zone, written), zone, first, last) == expected


NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC).timestamp()
TICK = TaskSettings(run="tasks:run", every=600.0)


@pytest.mark.parametrize(("ahead", "missed"), [(3600.0, 5), (86400.0, 143), (8 * 3600.0 + 7, 47)])
@pytest.mark.parametrize("why", ["clock", "late"])  # the clock was set forward; the machine slept
def test_a_clock_that_jumps_ahead_runs_the_last_slot_and_accounts_for_the_others(
    ahead: float, missed: int, why: str
) -> None:
    now = NOON + ahead
    decision = due(trigger(TICK), NOON, now, TICK, why)  # type: ignore[arg-type]
    last = now - now % 600
    assert decision == Decision((last,), (Range(NOON + 600, last - 600, missed, "missed", why),))


@pytest.mark.parametrize("back", [3600.0, 86400.0])
@pytest.mark.parametrize("written", ["every 600", "at 06:30", "cron */20 * * * *", "cron 30 2 * * *"])
def test_a_clock_set_back_meets_the_very_slots_it_had(back: float, written: str) -> None:
    """So their records in the ledger are found, and none starts again."""
    found = made(BERLIN, written)
    before = list(found.between(NOON - 2 * 86400, NOON))
    again = list(found.between(NOON - back, NOON))
    assert again == [slot for slot in before if slot > NOON - back]


CHANGES = [datetime(*day, tzinfo=UTC).timestamp() for day in ((2026, 3, 29, 1), (2026, 10, 25, 1), (2026, 3, 8, 7))]
CHANGES += [datetime(*day, tzinfo=UTC).timestamp() for day in ((2026, 11, 1, 6), (2026, 10, 3, 15), (2026, 4, 4, 15))]
zones = st.sampled_from([BERLIN, NEW_YORK, LORD_HOWE, KIRITIMATI, KOLKATA])
around = st.builds(lambda change, minutes: int(change) + 60 * minutes, st.sampled_from(CHANGES), st.integers(-900, 600))
SPAN = 30 * 3600


def minutes(zone: str, after: int) -> Iterator[tuple[int, datetime]]:
    """Every minute of the span, with what the clock on the wall shows: each offset here is whole minutes."""
    there = ZoneInfo(zone)
    for t in range(after + 60, after + SPAN + 1, 60):
        yield t, datetime.fromtimestamp(t, there)


@settings(deadline=None, max_examples=25)
@given(zones, around, st.integers(1, 1500), st.integers(0, 1499))
def test_an_interval_is_what_a_loop_over_minutes_says(zone: str, after: int, period: int, offset: int) -> None:
    task = TaskSettings(run="m:f", timezone=zone, every=period * 60.0, offset=offset % period * 60.0)
    expected = [t for t, _ in minutes(zone, after) if (t // 60 - offset) % period == 0]
    assert list(trigger(task).between(after, after + SPAN)) == expected


@settings(deadline=None, max_examples=25)
@given(zones, around, st.sampled_from([1, 5, 20, 30]), st.sampled_from([1, 2, 3, 5]), st.sets(st.integers(0, 6)))
def test_wildcards_are_what_a_loop_over_minutes_says(zone: str, after: int, m: int, h: int, days: set[int]) -> None:
    weekdays = ",".join(str((day + 1) % 7) for day in sorted(days)) or "*"
    expected = [
        t
        for t, wall in minutes(zone, after)
        if wall.minute % m == 0 and wall.hour % h == 0 and (not days or wall.weekday() in days)
    ]
    assert list(made(zone, f"cron */{m} */{h} * * {weekdays}").between(after, after + SPAN)) == expected


@settings(deadline=None, max_examples=25)
@given(zones, around, st.sets(st.times().map(lambda t: t.replace(second=0, microsecond=0)), min_size=1, max_size=4))
def test_times_of_day_are_what_a_loop_over_minutes_says(zone: str, after: int, times: set[object]) -> None:
    """Due at the first minute at which the clock shows, or has jumped over, the time on that day."""
    written = sorted(f"{t:%H:%M}" for t in times)
    reached: dict[tuple[date, str], int] = {}
    there = ZoneInfo(zone)
    for t in range(after - 86400, after + SPAN + 1, 60):
        wall = datetime.fromtimestamp(t, there)
        for text in written:
            if f"{wall:%H:%M}" >= text:
                reached.setdefault((wall.date(), text), t)
    begun = datetime.fromtimestamp(after - 86400, there).date()
    expected = sorted({t for (day, _), t in reached.items() if day > begun and after < t})
    task = TaskSettings(run="m:f", timezone=zone, at=tuple(written))
    assert list(trigger(task).between(after, after + SPAN)) == expected


@given(zones, around, st.integers(0, SPAN), st.integers(0, SPAN))
def test_where_one_begins_to_ask_changes_no_slot(zone: str, after: int, first: int, second: int) -> None:
    """Every host, and every start, names the same ones."""
    for written in ("every 420", "at 02:30", "cron */20 1-3 * * *"):
        found = made(zone, written)
        begin = after + max(first, second)
        one = {slot for slot in found.between(after + first, after + 2 * SPAN) if slot > begin}
        assert one == {slot for slot in found.between(after + second, after + 2 * SPAN) if slot > begin}
