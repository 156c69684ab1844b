"""PURE: what becomes of the slots that fell due: which run now, and which end as a record without a run.

Every slot in (after, now] comes out exactly once, as a run or inside one Range. Nothing is enumerated that is not
run: a task of every second may have been down for a year.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from supervisor.core.schedule.slots import Trigger
from supervisor.core.spec import Overlap, TaskSettings

Why = Literal["down", "late", "clock"]
State = Literal["missed", "skipped", "lost"]
STARTED = "started, not recorded"  # the reason of what is lost
PUNCTUAL = 5.0  # seconds: a slot this late is on time still, whatever `catch_up` says: a restart, a starved machine
COUNTED = 10_000  # a range of more slots than this has no number, unless arithmetic gives it
_TICK = 0.0005  # half the resolution of slots


@dataclass(frozen=True, slots=True)
class Range:
    """Slots next to each other without a run, first and last included. `slots` None: more than were counted.

    Of lost ones a run was begun, at least of the last, by a process that took the record with it.
    """

    first: float
    last: float
    slots: int | None
    state: State
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    run: tuple[float, ...] = ()
    closed: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A time in (after, until] in which nothing was to run, and why: disabled."""

    after: float
    until: float
    reason: str = "disabled"


def due(
    trigger: Trigger, after: float, now: float, settings: TaskSettings, why: Why, off: Sequence[Span] = ()
) -> Decision:
    """Decide about all slots in (after, now].

    `why` the runner was not there in time: the process was down, it woke late, the clock was set forward.
    A runner that was there (late, clock) always takes the last slot: that is no catching up.
    """
    run = tuple(_picked(trigger, after, now, settings, why, off))
    ends = [slot - _TICK for slot in run] + [now]
    closed = [
        each for begin, end in zip((after, *run), ends, strict=True) for each in _closed(trigger, begin, end, why, off)
    ]
    return Decision(run, tuple(closed))


def overrun(trigger: Trigger, after: float, now: float, overlap: Overlap) -> Decision:
    """Decide about the slots in (after, now] that fell due while a run was going, or ended one."""
    last = trigger.last_between(after, now)
    if last is None or overlap == "skip":
        return Decision(closed=tuple(closed(trigger, after, now, "skipped", "overlap")))
    return Decision((last,), tuple(closed(trigger, after, last - _TICK, "skipped", "overlap")))


def unclosed(
    trigger: Trigger, after: float, now: float, off: Sequence[Span] = (), ran: float | None = None
) -> tuple[Range, ...]:
    """What is to be said of slots in (after, now] that no runner has written yet. `ran`: the last that was started."""
    begin = after if ran is None else max(after, min(ran, now))
    return (*lost(trigger, after, begin, off), *_closed(trigger, begin, now, "down", off))


def lost(trigger: Trigger, after: float, ran: float, off: Sequence[Span] = ()) -> tuple[Range, ...]:
    """Slots in (after, ran], of which the last was started, and no record could be written: they never start again."""
    return tuple(_closed(trigger, after, ran, STARTED, off, "lost"))


def closed(trigger: Trigger, after: float, until: float, state: State, reason: str) -> Iterator[Range]:
    """Yield one range over all slots in (after, until], or nothing when there are none."""
    last = trigger.last_between(after, until)
    first = trigger.next_after(after)
    if last is not None and first is not None:
        yield Range(first, last, trigger.count(first, last, COUNTED), state, reason)


def _picked(
    trigger: Trigger, after: float, now: float, settings: TaskSettings, why: Why, off: Sequence[Span]
) -> list[float]:
    oldest, most = _reach(settings, now, why)
    picked: list[float] = []
    slot = trigger.last_between(after, now)
    while slot is not None and slot >= oldest and len(picked) < most:
        if not any(span.after < slot <= span.until for span in off):
            picked.append(slot)
        slot = trigger.last_between(after, slot - _TICK)
    return picked[::-1]


def _reach(settings: TaskSettings, now: float, why: Why) -> tuple[float, int]:
    """How old a slot may be that runs now, and how many of them may run."""
    caught_up = settings.catch_up != "none" or why != "down"
    window = max(settings.catch_up_window if caught_up else 0.0, PUNCTUAL + settings.jitter)
    if settings.start_deadline is not None:
        window = min(window, settings.start_deadline + settings.jitter)
    return now - window, settings.catch_up_limit if settings.catch_up == "all" else 1


def _closed(
    trigger: Trigger, after: float, until: float, why: str, off: Sequence[Span], state: State = "missed"
) -> Iterator[Range]:
    """Yield the ranges of (after, until], cut where the task was off."""
    for span in sorted(off, key=lambda s: s.after):
        begin, end = max(after, span.after), min(until, span.until)
        if begin < end:
            yield from closed(trigger, after, begin, state, why)
            yield from closed(trigger, begin, end, "skipped", span.reason)
            after = end
    yield from closed(trigger, after, until, state, why)
