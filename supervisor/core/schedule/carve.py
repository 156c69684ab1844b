"""PURE: slots taken out of a range of slots that did not run: what stays of the range."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from supervisor.core.schedule.missed import COUNTED, Range, closed
from supervisor.core.schedule.slots import Trigger

_TICK = 0.0005  # half the resolution of slots


def is_slot(trigger: Trigger, t: float) -> bool:
    return trigger.last_between(t - _TICK, t) is not None


def carved(trigger: Trigger, whole: Range, slot: float) -> tuple[Range, ...]:
    """Return the ranges before and after `slot`, of which none, one or both have slots.

    Their outer ends are those of `whole`, whatever schedule it was written by: nothing of it is lost.
    """
    before = trigger.last_between(whole.first - _TICK, slot - _TICK)
    after = trigger.next_after(slot)
    left = None if before is None else _part(trigger, whole, whole.first, before)
    right = None if after is None or after > whole.last else _part(trigger, whole, after, whole.last)
    return tuple(part for part in (left, right) if part is not None)


def free(trigger: Trigger, whole: Range, taken: Iterable[tuple[float, float]]) -> Iterator[Range]:
    """Yield the ranges of slots of `whole` that none of `taken` covers; each has its first and last slot."""
    after = whole.first - _TICK
    for first, last in sorted(taken):
        yield from closed(trigger, after, min(first - _TICK, whole.last), whole.state, whole.reason)
        after = max(after, last)
    yield from closed(trigger, after, whole.last, whole.state, whole.reason)


def _part(trigger: Trigger, whole: Range, first: float, last: float) -> Range:
    return Range(first, last, trigger.count(first, last, COUNTED), whole.state, whole.reason)
