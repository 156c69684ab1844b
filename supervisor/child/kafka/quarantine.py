"""RUNS IN A CHILD, in its main thread: the records that have killed too often, as the supervisor tells."""

from __future__ import annotations

import time
from collections.abc import Iterable

from supervisor.child.kafka.handover import Item
from supervisor.child.runtime import Runtime
from supervisor.core.kafka.poison import HANDLING, one_by_one_of, quarantine_of
from supervisor.core.lifecycle.exits import Cause

CAREFUL_RECORDS, CAREFUL_SECONDS = 500, 60.0  # handled one at a time after a death among lanes


class Poisoned(Exception):
    """Not an error of the handler: it never came to say one."""


class Quarantine:
    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._condemned = quarantine_of(rt.birth.extra)
        self._suspects = one_by_one_of(rt.birth.extra)
        self._careful: tuple[int, float] | None = None  # until so many records are handled, or so late
        if self._suspects or _died_handling(rt):
            self._be_careful(0)

    def collect(self, handled: int = 0) -> None:
        """Take the orders: another member may have died while this one lived. `handled`: records so far."""
        while order := self._rt.next_order():
            if order.verb == "poison":
                self._condemned |= quarantine_of(order.args)
                self._suspects = one_by_one_of(order.args)
                self._be_careful(handled)

    def verdict(self, item: Item) -> Poisoned | None:
        reason = self._condemned.get((*item.lease.place, item.offset)) if self._condemned else None
        return Poisoned(reason) if reason else None

    def alone(self, items: Iterable[Item]) -> bool:
        """Whether these have to be handled record by record: one of them is condemned, or their partition suspected."""
        if not self._condemned and not self._suspects:
            return False
        return any(tuple(item.lease.place) in self._suspects or self.verdict(item) for item in items)

    def is_careful(self, handled: int) -> bool:
        """Whether only one record may be in hand: a death among lanes says which were there, not which it was."""
        if self._careful is not None and (handled >= self._careful[0] or time.monotonic() >= self._careful[1]):
            self._careful = None
        return self._careful is not None

    def _be_careful(self, handled: int) -> None:
        self._careful = handled + CAREFUL_RECORDS, time.monotonic() + CAREFUL_SECONDS


def _died_handling(rt: Runtime) -> bool:
    last = rt.birth.previous
    return last is not None and last.phase in HANDLING and Cause(last.cause).counted
