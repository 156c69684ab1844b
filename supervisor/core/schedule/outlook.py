"""PURE: what is to come: the next slots of several tasks, what a change of the clock does, and whether they fit."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice, pairwise
from typing import Literal
from zoneinfo import ZoneInfo

from supervisor.core.schedule import wall
from supervisor.core.schedule.cron import Cron
from supervisor.core.schedule.slots import AnyOf, Daily, Every, Once, Trigger, Window
from supervisor.core.words import short

Shift = Literal["gap", "fold"]
ENOUGH = 5  # runs, before their durations say anything
NEAR = 0.8  # of the interval
_YEAR = 366 * 86400
_LOOKED_AT = 20  # slots, for the shortest interval
_NO_CHANGES = wall.zone("UTC")


@dataclass(frozen=True, slots=True)
class Coming:
    """`shift`: the time of day is skipped there (gap: the slot is at its end), or comes twice (fold)."""

    slot: float
    task: str
    shift: Shift | None = None


def coming(triggers: Mapping[str, Trigger], now: float, until: float, most: int) -> list[Coming]:
    """Return the next `most` slots of each task in (now, until], all of them by time."""
    each = (islice(_of(name, trigger, now, until), most) for name, trigger in triggers.items())
    return list(heapq.merge(*each, key=lambda found: found.slot))


def shift(trigger: Trigger, slot: float) -> Shift | None:
    """Say what a change of the clock does to a slot of `trigger`; an interval knows no clock."""
    match trigger:
        case Window():
            return shift(trigger.inner, slot)
        case AnyOf():
            return next((found for each in trigger.triggers if (found := shift(each, slot))), None)
        case Daily() | Cron():
            if _skipped(trigger, slot):
                return "gap"
            return "fold" if _twice(wall.reading(slot, trigger.zone), trigger.zone) else None
    return None


def zone(trigger: Trigger) -> ZoneInfo | None:
    """The zone whose clock it follows."""
    match trigger:
        case Window():
            return zone(trigger.inner)
        case Daily() | Cron():
            return trigger.zone
    return None


def gap(trigger: Trigger, now: float) -> float | None:
    """Return the first slot within a year whose time of day does not exist on that day."""
    found = zone(trigger)
    if found is None:
        return None
    slots = (slot for t in _changes(found, int(now)) for slot in trigger.between(t - 1, t))
    return next((slot for slot in slots if shift(trigger, slot) == "gap"), None)


def lost(trigger: Trigger, now: float) -> float | None:
    """Return the first gap within a year that leaves a day without any slot: wildcards are not made up for."""
    inner = trigger.inner if isinstance(trigger, Window) else trigger
    if not isinstance(inner, Cron) or inner.fixed:
        return None
    return next((t for t in _changes(inner.zone, int(now)) if _covers(trigger, t) and _empty(inner, t)), None)


def interval(trigger: Trigger, now: float) -> float | None:
    """Return the shortest time between two of the next slots; None: there are not two."""
    if isinstance(trigger, Every):
        return trigger.period
    slots = list(islice(trigger.between(now, math.inf), _LOOKED_AT))
    return min((after - before for before, after in pairwise(slots)), default=None)


def p95(durations: Sequence[float]) -> float | None:
    """Return what nineteen of twenty runs do not exceed; None: too few have run."""
    if len(durations) < ENOUGH:
        return None
    return sorted(durations)[math.ceil(0.95 * len(durations)) - 1]


def warnings(trigger: Trigger, durations: Sequence[float], now: float, *, near: float = NEAR) -> Iterator[str]:
    """Say what will not go as planned. `near`: the share of the interval that a run may take unmentioned."""
    longest, between = p95(durations), interval(trigger, now)
    if longest is not None and between is not None and longest >= near * between:
        meets = "cannot be met" if longest >= between else "is nearly used up"
        took = f"1 in 20 of the last {len(durations)} runs took {short(longest)} or more"
        yield f"its interval of {short(between)} {meets}: {took}; make it longer, or the run shorter"
    moved = gap(trigger, now)
    in_zone = zone(trigger)
    if moved is not None and in_zone is not None:
        becomes = "several slots are one, at" if _merged(trigger, moved) else "that slot is instead at"
        yield f"a time of it does not exist on {_day(moved, in_zone)}: {becomes} {_clock(moved, in_zone)}"
    without = lost(trigger, now)
    if without is not None and in_zone is not None:
        yield f"it has no slot on {_day(without, in_zone)}: its times do not exist on that day"


def said(found: Coming, trigger: Trigger) -> str:
    """Put a shift into words; "" when there is none."""
    if found.shift == "gap":
        return f"DST gap: {'a' if _merged(trigger, found.slot) else 'its'} time is skipped, due at the end of the gap"
    in_zone = zone(trigger)
    if found.shift == "fold" and in_zone is not None:
        which = "second" if wall.at(found.slot, in_zone).fold else "first"
        return f"DST fold: this time comes twice, the {which}"
    return ""


def _of(name: str, trigger: Trigger, now: float, until: float) -> Iterator[Coming]:
    for slot in trigger.between(now, until):
        yield Coming(slot, name, shift(trigger, slot))


def _skipped(trigger: Daily | Cron, slot: float) -> bool:
    """Whether a slot is made up for: wildcards follow the clock."""
    return (isinstance(trigger, Daily) or trigger.fixed) and _in_gap(trigger, slot)


def _in_gap(trigger: Daily | Cron, t: float) -> bool:
    """Whether a time of the schedule lies in a gap that ends at `t`."""
    missing = next(_passed(trigger, t), None)
    return missing is not None and missing < _shown(t, trigger.zone)


def _merged(trigger: Trigger, slot: float) -> bool:
    """Whether several times of the schedule are due at this slot."""
    inner = trigger.inner if isinstance(trigger, Window) else trigger
    return isinstance(inner, Daily | Cron) and len(list(islice(_passed(inner, slot), 2))) > 1


def _passed(trigger: Daily | Cron, slot: float) -> Iterator[float]:
    """The times of the schedule that the clock reaches or jumps over at `slot`, as readings."""
    as_if = replace(trigger, zone=_NO_CHANGES)
    return as_if.between(_shown(slot - 1, trigger.zone), _shown(slot, trigger.zone))


def _empty(trigger: Cron, change: int) -> bool:
    """Whether all times of a day lie in the gap of that day."""
    if not _in_gap(trigger, change):
        return False
    midnight = wall.reading(change, trigger.zone).replace(hour=0, minute=0, second=0)
    begin, end = (wall.instant(each, trigger.zone) for each in (midnight, midnight + wall.ONE_DAY))
    return next(trigger.between(begin - 1, end - 1), None) is None


def _covers(trigger: Trigger, t: float) -> bool:
    return not isinstance(trigger, Window) or replace(trigger, inner=Once(t)).next_after(t - 1) == t


def _shown(t: float, in_zone: ZoneInfo) -> int:
    return wall.seconds(wall.reading(t, in_zone))


def _twice(reading: datetime, in_zone: ZoneInfo) -> bool:
    first, second = (reading.replace(tzinfo=in_zone, fold=fold).utcoffset() for fold in (0, 1))
    return first != second


def _changes(in_zone: ZoneInfo, now: int) -> Iterable[int]:
    """The seconds within a year at which the offset of a zone is another one."""
    for t in range(now, now + _YEAR, 86400):
        if wall.offset(t, in_zone) != wall.offset(t + 86400, in_zone):
            yield wall.change(t, t + 86400, in_zone)


def _day(t: float, in_zone: ZoneInfo) -> str:
    return f"{wall.at(t, in_zone):%Y-%m-%d} in {in_zone.key}"


def _clock(t: float, in_zone: ZoneInfo) -> str:
    return f"{wall.at(t, in_zone):%H:%M}"
