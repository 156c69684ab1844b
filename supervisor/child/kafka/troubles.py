"""RUNS IN A CHILD, in its main thread: the records that fail, remembered until they are handled or have left."""

from __future__ import annotations

import time
from dataclasses import dataclass

from supervisor.child.kafka.handover import Item
from supervisor.child.runtime import Runtime
from supervisor.core.kafka.lag import Place

MOST = 10_000  # remembered; of partitions that went to another member nobody says that their trouble is over


@dataclass(slots=True)
class Trouble:
    offset: int
    first: float  # wall time of the first failure
    attempts: int = 0
    holds: int = 0


class Troubles:
    def __init__(self) -> None:
        self._known: dict[tuple[Place, int], Trouble] = {}

    def __bool__(self) -> bool:
        return bool(self._known)

    def of(self, item: Item) -> Trouble:
        """Return what is known of it; from now on it is in trouble."""
        key = (item.lease.place, item.offset)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MOST:
                del self._known[next(iter(self._known))]
            known = self._known[key] = Trouble(item.offset, time.time())
        return known

    def attempts(self, item: Item) -> int:
        """Return how often it failed so far, holds included."""
        known = self._known.get((item.lease.place, item.offset)) if self._known else None
        return known.attempts if known is not None else 0

    def over(self, item: Item) -> bool:
        """It was handled, or has left. Return whether its partition was held for it."""
        known = self._known.pop((item.lease.place, item.offset), None) if self._known else None
        return known is not None and known.holds > 0


def enter(rt: Runtime, phase: str, item: Item, budget: float | None) -> None:
    topic, partition = item.lease.place
    rt.enter(phase, topic, budget=budget, partition=partition, offset=item.offset)


def at(item: Item) -> str:
    topic, partition = item.lease.place
    return f"{topic}:{partition}:{item.offset}"


def say(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"
