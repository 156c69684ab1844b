"""PURE: when a task is due. A slot is an instant in epoch seconds, the same on every host and after every start.

`every` is a grid anchored at the Unix epoch, or at `start`: no restart, deploy or long run moves it.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from supervisor.core import durations
from supervisor.core.schedule import wall
from supervisor.core.spec import TaskSettings

_KEYS = ("every", "at", "on", "cron", "once", "timezone")  # of TaskSettings: when it runs
_LATER = ("start", "end", "align", "offset")  # ledgers of earlier releases are without
_TICK = 0.0005  # half the resolution of slots


class Trigger(ABC):
    """When a task is due. Slots of all but `Every` are whole seconds, those of `Every` whole milliseconds."""

    __slots__ = ()

    @abstractmethod
    def next_after(self, t: float) -> float | None:
        """Return the first slot later than `t`, or None when there is none."""

    @abstractmethod
    def describe(self) -> str:
        """Say it for people: "every 30s"."""

    def between(self, after: float, until: float) -> Iterator[float]:
        """The slots in (after, until], in order. As many as there are: bound it before asking."""
        slot = self.next_after(after)
        while slot is not None and slot <= until:
            yield slot
            slot = self.next_after(slot)

    def last_between(self, after: float, until: float) -> float | None:
        """Return the last slot in (after, until], without walking through those before it."""
        found = self.next_after(after)
        if found is None or found > until:
            return None
        end = until  # no slot in (end, until]
        while end - found >= 1:
            middle = (found + end) / 2
            slot = self.next_after(middle)
            if slot is not None and slot <= until:
                found = slot
            else:
                end = middle
        return found

    def count(self, first: float, last: float, most: int) -> int | None:
        """Return how many slots lie in [first, last], or None when there are more than `most`."""
        n = 1
        for _ in self.between(first, last):
            n += 1
            if n > most:
                return None
        return n


@dataclass(frozen=True, slots=True)
class Every(Trigger):
    """Multiples of `period` since `anchor`."""

    period: float
    anchor: float = 0.0

    def next_after(self, t: float) -> float | None:
        k = math.floor((t - self.anchor) / self.period) - 1  # one early: the quotient of floats may be off by one
        while (slot := self._slot(k)) <= t:
            k += 1
        return slot

    def last_between(self, after: float, until: float) -> float | None:
        k = math.floor((until - self.anchor) / self.period) + 1
        while (slot := self._slot(k)) > until:
            k -= 1
        return slot if slot > after else None

    def count(self, first: float, last: float, most: int) -> int | None:
        return round((last - first) / self.period) + 1

    def describe(self) -> str:
        offset = round(self.anchor % self.period, 3)
        return f"every {durations.text(self.period)}" + (f" offset {durations.text(offset)}" if offset else "")

    def _slot(self, k: int) -> float:
        return round(self.anchor + k * self.period, 3)


@dataclass(frozen=True, slots=True)
class Once(Trigger):
    """One instant."""

    slot: float

    def next_after(self, t: float) -> float | None:
        return self.slot if self.slot > t else None

    def describe(self) -> str:
        return f"once at {datetime.fromtimestamp(self.slot, UTC):%Y-%m-%d %H:%M:%SZ}"


@dataclass(frozen=True, slots=True)
class Daily(Trigger):
    """Times of day, on all days or some days of the week (Monday is 0), in a zone."""

    times: tuple[time, ...]
    days: frozenset[int]
    zone: ZoneInfo

    def next_after(self, t: float) -> float | None:
        day = wall.at(t, self.zone).date()
        while True:
            if not self.days or day.weekday() in self.days:
                slots = (wall.instant(datetime.combine(day, each), self.zone) for each in self.times)
                if later := [slot for slot in slots if slot > t]:
                    return min(later)
            day += wall.ONE_DAY

    def describe(self) -> str:
        times = ", ".join(f"{t:%H:%M:%S}" if t.second else f"{t:%H:%M}" for t in sorted(self.times))
        return " ".join(filter(None, (f"at {times}", wall.days_text(self.days), self.zone.key)))


@dataclass(frozen=True, slots=True)
class AnyOf(Trigger):
    """The slots of several triggers, each instant once."""

    triggers: tuple[Trigger, ...]

    def next_after(self, t: float) -> float | None:
        return min((s for each in self.triggers if (s := each.next_after(t)) is not None), default=None)

    def last_between(self, after: float, until: float) -> float | None:
        found = (each.last_between(after, until) for each in self.triggers)
        return max((slot for slot in found if slot is not None), default=None)

    def describe(self) -> str:
        return "; ".join(each.describe() for each in self.triggers)


@dataclass(frozen=True, slots=True)
class Window(Trigger):
    """The slots of a trigger in [first, last]; None: no such bound."""

    inner: Trigger
    first: float | None
    last: float | None

    def next_after(self, t: float) -> float | None:
        slot = self.inner.next_after(self._begin(t))
        return slot if slot is not None and slot <= self._end(slot) else None

    def last_between(self, after: float, until: float) -> float | None:
        begin, end = self._begin(after), self._end(until)
        return self.inner.last_between(begin, end) if begin < end else None

    def count(self, first: float, last: float, most: int) -> int | None:
        return self.inner.count(first, last, most)

    def describe(self) -> str:
        parts = (self.inner.describe(), _bound_text("from", self.first), _bound_text("until", self.last))
        return " ".join(filter(None, parts))

    def _begin(self, t: float) -> float:
        return t if self.first is None else max(t, self.first - _TICK)

    def _end(self, t: float) -> float:
        return t if self.last is None else min(t, self.last)


def trigger(settings: TaskSettings) -> Trigger:
    """Return when this task is due.

    Raises ValueError: a zone, time of day, weekday, cron expression or date that cannot be read; the text says which.
    """
    if settings.start is None and settings.end is None:
        return _within(settings, 0.0)
    zone = wall.zone(settings.timezone)
    first = None if settings.start is None else wall.bound("start", settings.start, zone)[0]
    last = None if settings.end is None else wall.bound("end", settings.end, zone)[1]
    return Window(_within(settings, first or 0.0), first, last)


def _within(settings: TaskSettings, start: float) -> Trigger:
    if settings.every is not None:
        if not settings.every >= 0.001:
            raise ValueError(f"every: expected at least 1ms, found {settings.every:g} s")
        return Every(settings.every, settings.offset + (start if settings.align == "start" else 0.0))
    zone = wall.zone(settings.timezone)
    if settings.at:
        return Daily(tuple(map(wall.time_of_day, settings.at)), frozenset(map(wall.weekday, settings.on)), zone)
    if settings.cron is not None:
        from supervisor.core.schedule.cron import Cron  # only cron tasks pay for cronsim

        return Cron(settings.cron, zone)
    if settings.once is not None:
        return Once(wall.moment(settings.once, zone))
    raise ValueError("expected one of every, at, cron, once; found none")


def to_text(settings: TaskSettings) -> str:
    """Return when this task is due as JSON, for the ledger: who reads it has no configuration."""
    return json.dumps({key: getattr(settings, key) for key in (*_KEYS, *_LATER)})


def from_text(text: str) -> Trigger:
    """Raises ValueError when it is not what `to_text` wrote."""
    try:
        read = json.loads(text)
        keys = (*_KEYS, *(key for key in _LATER if key in read))
        found: dict[str, Any] = {key: tuple(read[key]) if isinstance(read[key], list) else read[key] for key in keys}
        return trigger(TaskSettings(run="", **found))
    except (KeyError, TypeError, AttributeError) as e:
        raise ValueError(f"expected a schedule, found {text[:80]!r}") from e


def _bound_text(word: str, t: float | None) -> str:
    return "" if t is None else f"{word} {datetime.fromtimestamp(t, UTC):%Y-%m-%d %H:%M:%SZ}"
