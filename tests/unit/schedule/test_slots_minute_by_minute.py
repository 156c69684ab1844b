"""Slots against the slowest possible way: every minute of a span, asking only what the clock on the wall shows.

The slow way knows nothing of gaps, folds and offsets. A fixed time of day is due at the first minute at which the
clock shows it, or has passed it; a wildcard at every minute that it fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from supervisor.core.schedule.slots import Trigger, trigger
from supervisor.core.spec import TaskSettings

ZONES = (
    *("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati", "Asia/Kolkata", "UTC"),
    *("America/Havana", "America/Sao_Paulo", "America/St_Johns", "Africa/Cairo", "Africa/Casablanca"),
    *("America/Caracas", "Antarctica/Troll", "Asia/Amman", "Asia/Pyongyang", "Asia/Tehran", "Europe/Dublin"),
    *("Pacific/Apia", "Pacific/Chatham", "America/Asuncion", "America/Nuuk"),
)
YEARS = range(1973, 2045)  # before, a zone was ahead by seconds
DAY = 86_400
MARGIN = 2 * DAY

Span = tuple[int, int]
Reading = tuple[int, datetime]  # an instant, and what the clock on the wall shows


def made(**keys: object) -> Trigger:
    return trigger(TaskSettings(run="tasks:run", **keys))  # type: ignore[arg-type]


@cache
def changes(zone: str, year: int) -> tuple[int, ...]:
    """The hours of a year in which the clock of a zone was set, found by asking every hour."""
    hours = range(
        int(datetime(year, 1, 1, tzinfo=UTC).timestamp()), int(datetime(year + 1, 1, 1, tzinfo=UTC).timestamp()), 3600
    )
    found = ZoneInfo(zone)
    ahead = [datetime.fromtimestamp(t, found).utcoffset() for t in hours]
    return tuple(t for t, before, after in zip(hours, ahead, ahead[1:], strict=False) if before != after)


def minutes(zone: str, begin: int, end: int) -> Iterator[Reading]:
    found = ZoneInfo(zone)
    return ((t, datetime.fromtimestamp(t, found).replace(tzinfo=None, fold=0)) for t in range(begin, end, 60))


@st.composite
def spans(draw: st.DrawFn) -> tuple[str, Span]:
    """A zone and three days: around a change of its clock when the year has one, else anywhere."""
    zone, year = draw(st.sampled_from(ZONES)), draw(st.sampled_from(YEARS))
    anywhere = int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) + draw(st.integers(0, 364)) * DAY
    around = draw(st.sampled_from([*changes(zone, year), anywhere]))
    begin = (around - draw(st.integers(0, 48)) * 3600) // 60 * 60
    return zone, (begin, begin + 3 * DAY)


def first_reached(zone: str, span: Span, wanted: Callable[[date], bool], times: set[tuple[int, int]]) -> list[int]:
    """The slots of fixed times in (begin, end]: each when the clock first shows it or has passed it."""
    begin, end = span
    first, last = (datetime.fromtimestamp(t, ZoneInfo(zone)).date() for t in (begin - MARGIN, end))
    days = [first + timedelta(days=n) for n in range(1, (last - first).days + 1)]
    goals = sorted(datetime.combine(day, time(h, m)) for day in days if wanted(day) for h, m in times)
    found: set[int] = set()
    for t, shown in minutes(zone, begin - MARGIN, end + 60):
        while goals and shown >= goals[0]:
            goals.pop(0)
            found.add(t)
    return sorted(t for t in found if begin < t <= end)


def that_fit(zone: str, span: Span, fits: Callable[[datetime], bool]) -> list[int]:
    begin, end = span
    return [t for t, shown in minutes(zone, begin, end + 60) if fits(shown) and begin < t <= end]


def any_day(day: date) -> bool:
    return True


times = st.sets(st.tuples(st.integers(0, 23), st.integers(0, 59)), min_size=1, max_size=4)
early = st.sets(st.tuples(st.integers(0, 4), st.sampled_from([0, 1, 15, 30, 45, 59])), min_size=1, max_size=4)
weekdays = st.sets(st.integers(0, 6), max_size=6)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@settings(deadline=None, max_examples=80)
@given(spans(), times | early, weekdays)
def test_times_of_day(where: tuple[str, Span], wanted: set[tuple[int, int]], on: set[int]) -> None:
    zone, span = where
    due = made(at=tuple(f"{h:02}:{m:02}" for h, m in wanted), on=tuple(DAYS[n] for n in on), timezone=zone)
    expected = first_reached(zone, span, lambda day: not on or day.weekday() in on, wanted)
    assert list(due.between(*span)) == expected


@settings(deadline=None, max_examples=80)
@given(
    spans(),
    st.sets(st.integers(0, 59), min_size=1, max_size=3),
    st.sets(st.integers(0, 23), min_size=1, max_size=4) | st.sets(st.integers(0, 4), min_size=1),
    st.sets(st.integers(1, 31), max_size=10),
    weekdays,
)
def test_cron_with_fixed_times(
    where: tuple[str, Span], at: set[int], hours: set[int], days: set[int], on: set[int]
) -> None:
    """A day of the month and a weekday: when both are given, either will do."""
    zone, span = where

    def wanted(day: date) -> bool:
        fits = ([day.day in days] if days else []) + ([day.isoweekday() % 7 in on] if on else [])
        return any(fits) or not fits

    fields = (listed(at), listed(hours), listed(days), "*", listed(on))
    expected = first_reached(zone, span, wanted, {(h, m) for h in hours for m in at})
    assert list(made(cron=" ".join(fields), timezone=zone).between(*span)) == expected


@settings(deadline=None, max_examples=80)
@given(
    spans(),
    st.sampled_from([1, 7, 10, 15, 20, 30]),
    st.sets(st.integers(0, 23), max_size=5) | st.sets(st.integers(0, 4), min_size=1),
    st.sampled_from(["*", "1-12", "3,4,10,11"]),
    weekdays,
)
def test_cron_with_wildcards(where: tuple[str, Span], step: int, hours: set[int], months: str, on: set[int]) -> None:
    zone, span = where
    of_year = {3, 4, 10, 11} if "," in months else set(range(1, 13))

    def fits(shown: datetime) -> bool:
        return (
            shown.minute % step == 0
            and (not hours or shown.hour in hours)
            and shown.month in of_year
            and (not on or shown.isoweekday() % 7 in on)
        )

    due = made(cron=f"*/{step} {listed(hours)} * {months} {listed(on)}", timezone=zone)
    assert list(due.between(*span)) == that_fit(zone, span, fits)


@settings(deadline=None, max_examples=80)
@given(
    spans(),
    st.integers(1, 3000),
    st.integers(0, 3000),
    st.integers(-2000, 6000) | st.none(),
    st.integers(0, 4000) | st.none(),
    st.booleans(),
)
@example(("Europe/Berlin", (1774659600, 1774918800)), 60, 59, 0, 0, True)
def test_a_grid_between_bounds(
    where: tuple[str, Span], period: int, offset: int, start: int | None, length: int | None, aligned: bool
) -> None:
    """Period, offset and bounds in minutes; the bounds are counted from the begin of the span."""
    zone, span = where
    offset %= period
    first = None if start is None else span[0] + 60 * start
    last = None if length is None else (first or span[0]) + 60 * length
    anchor = first if aligned and first is not None else 0
    due = made(
        every=60.0 * period,
        offset=60.0 * offset,
        align="epoch" if anchor == 0 else "start",
        start=None if first is None else datetime.fromtimestamp(first, ZoneInfo(zone)).isoformat(),
        end=None if last is None else datetime.fromtimestamp(last, UTC).isoformat(),
        timezone=zone,
    )
    expected = [
        t
        for t in range(span[0] + 60, span[1] + 60, 60)
        if (t - anchor - 60 * offset) % (60 * period) == 0
        and (first is None or t >= first)
        and (last is None or t <= last)
        and t <= span[1]
    ]
    assert list(due.between(*span)) == expected


@settings(deadline=None, max_examples=100)
@given(spans(), early, st.sampled_from(["*/20 1-3 * * *", "5 */2 * * *", "1,31 0-4 * * *"]), st.integers(0, 3 * DAY))
def test_from_any_instant_on_forwards_and_backwards(
    where: tuple[str, Span], wanted: set[tuple[int, int]], cron: str, into: int
) -> None:
    """As after a restart in between: no slot comes again, none is lost."""
    zone, (begin, end) = where
    for due in (made(at=tuple(f"{h:02}:{m:02}" for h, m in wanted), timezone=zone), made(cron=cron, timezone=zone)):
        whole = list(due.between(begin, end))
        middle = begin + into
        assert [*due.between(begin, middle), *due.between(middle, end)] == whole
        before = [slot for slot in whole if slot <= middle]
        assert due.last_between(begin, middle) == (before[-1] if before else None)


@settings(deadline=None)
@given(st.integers(0, 4_000_000_000), st.floats(0, 5000))
def test_the_last_of_slots_that_are_a_second_apart(begin: int, span: float) -> None:
    last = math.floor(begin + span)
    assert made(cron="* * * * * *").last_between(begin, begin + span) == (last if last > begin else None)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe"])
def test_every_minute_of_a_whole_year(zone: str) -> None:
    begin, end = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2026, 2027))
    fixed, wild = made(at=("00:30", "02:15"), timezone=zone), made(cron="*/45 1,2 * * *", timezone=zone)
    assert list(fixed.between(begin, end)) == first_reached(zone, (begin, end), any_day, {(0, 30), (2, 15)})
    expected = that_fit(zone, (begin, end), lambda shown: shown.hour in (1, 2) and shown.minute in (0, 45))
    assert list(wild.between(begin, end)) == expected


def test_the_spans_of_the_other_tests_do_have_changes() -> None:
    """Without them these would prove little: most zones, and gaps, folds, half hours and whole days among them."""
    with_changes = {zone for zone in ZONES for year in (1990, 2006, 2011, 2026) if changes(zone, year)}
    assert len(with_changes) >= len(ZONES) - 6
    steps = {step for zone in ZONES for year in (1994, 2006, 2011, 2026) for step in jumps(zone, year)}
    assert {3600, -3600, 1800, -1800} <= steps
    assert any(step >= DAY for step in steps)


def jumps(zone: str, year: int) -> Iterator[int]:
    found = ZoneInfo(zone)
    for t in changes(zone, year):
        before, after = (datetime.fromtimestamp(each, found).utcoffset() for each in (t, t + 3600))
        assert before is not None
        assert after is not None
        yield int((after - before).total_seconds())


def listed(numbers: set[int]) -> str:
    return ",".join(map(str, sorted(numbers))) or "*"
