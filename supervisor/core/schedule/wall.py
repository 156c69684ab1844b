"""PURE: from wall clocks to instants, and back.

The rule of Debian's cron (and cronsim): a time of day that comes twice is taken the first time, one that is
skipped is taken at the end of the gap. So each wall slot is due exactly once.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

ONE_DAY = timedelta(days=1)
_NAIVE_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)  # readings of a wall clock have no zone
_FAR = 7_258_118_400  # the year 2200
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def at(t: float, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(t, zone)


def reading(t: float, zone: ZoneInfo) -> datetime:
    """What the clock on the wall shows at `t`, to the second, without a zone."""
    return at(t, zone).replace(tzinfo=None, microsecond=0, fold=0)


def offset(t: int, zone: ZoneInfo) -> int:
    """Seconds that the wall clock is ahead of UTC at `t`."""
    ahead = at(t, zone).utcoffset()
    assert ahead is not None  # a ZoneInfo always has one
    return int(ahead.total_seconds())


def seconds(wall: datetime) -> int:
    """A wall clock reading as seconds, as if it were UTC."""
    return int((wall - _NAIVE_EPOCH).total_seconds())


def from_seconds(t: int) -> datetime:
    return _NAIVE_EPOCH + timedelta(seconds=t)


def instant(wall: datetime, zone: ZoneInfo) -> int:
    """Return the instant at which the clock in `zone` shows `wall`: the first one, or the end of the gap."""
    t = int(wall.replace(tzinfo=zone, fold=0).timestamp())
    if reading(t, zone) == wall:
        return t
    before = int(wall.replace(tzinfo=zone, fold=1).timestamp())  # PEP 495: in a gap, fold=1 lies before it
    return change(before, t, zone)


def change(before: int, after: int, zone: ZoneInfo) -> int:
    """Return the first second in (before, after] with another offset than `before`; there is one change."""
    old = offset(before, zone)
    while after - before > 1:
        middle = (before + after) // 2
        if offset(middle, zone) == old:
            before = middle
        else:
            after = middle
    return after


def zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as e:
        raise ValueError(
            f'timezone: expected a name of the IANA list, as "Europe/Berlin", found "{name}" (is tzdata there?)'
        ) from e


def time_of_day(text: str) -> time:
    parts = text.split(":")
    if len(parts) in (2, 3) and all(len(p) == 2 and p.isascii() and p.isdigit() for p in parts):
        try:
            return time.fromisoformat(text)
        except ValueError:
            pass  # 24:00 and the like, said below
    raise ValueError(f'at: expected "HH:MM" or "HH:MM:SS", found "{text}"')


def weekday(text: str) -> int:
    if text not in DAYS:
        raise ValueError(f'on: expected one of {", ".join(DAYS)}, found "{text}"')
    return DAYS.index(text)


def moment(text: str, zone: ZoneInfo) -> float:
    """Read an RFC 3339 time; one without an offset is a wall clock reading in `zone`."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError as e:
        raise ValueError(f'once: expected a time as "2026-11-25T14:00:00Z", found "{text}"') from e
    return when.timestamp() if when.tzinfo else float(instant(when.replace(microsecond=0), zone))


def bound(key: str, text: str, zone: ZoneInfo) -> tuple[float, float]:
    """Read `start` or `end`: the first and last instant that it names; those of a date lie a day apart."""
    try:
        if len(text) > len("2026-11-25"):
            first = last = moment(text, zone)
        else:
            midnight = datetime.combine(date.fromisoformat(text), time())
            first, last = float(instant(midnight, zone)), instant(midnight + ONE_DAY, zone) - 0.001
        if not 0 <= first < _FAR:
            raise ValueError("before 1970 or after 2199")
        return first, last
    except (ValueError, OverflowError) as e:
        expected = '"2026-11-25" or "2026-11-25T14:00:00Z"'
        raise ValueError(f'{key}: expected a date or time as {expected}, found "{text}"') from e


def days_text(days: frozenset[int]) -> str:
    """Return "mon-fri", "sat, sun" or "" for all days."""
    if len(days) in (0, 7):
        return ""
    runs: list[list[int]] = []
    for day in sorted(days):
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ", ".join(_run_text(run) for run in runs)


def _run_text(run: list[int]) -> str:
    names = [DAYS[day] for day in run]
    return f"{names[0]}-{names[-1]}" if len(names) > 2 else ", ".join(names)
