"""RUNS IN A CHILD, in its main thread: the records that have killed too often, as the supervisor tells."""

from __future__ import annotations

from collections.abc import Iterable

from supervisor.child.kafka.handover import Item
from supervisor.child.runtime import Runtime
from supervisor.core.kafka.poison import one_by_one_of, quarantine_of


class Poisoned(Exception):
    """Not an error of the handler: it never came to say one."""


class Quarantine:
    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._condemned = quarantine_of(rt.birth.extra)
        self._suspects = one_by_one_of(rt.birth.extra)

    def collect(self) -> None:
        """Take the orders: another member may have died while this one lived."""
        while order := self._rt.next_order():
            if order.verb == "poison":
                self._condemned |= quarantine_of(order.args)
                self._suspects = one_by_one_of(order.args)

    def verdict(self, item: Item) -> Poisoned | None:
        reason = self._condemned.get((*item.lease.place, item.offset)) if self._condemned else None
        return Poisoned(reason) if reason else None

    def alone(self, items: Iterable[Item]) -> bool:
        """Whether these have to be handled record by record: one of them is condemned, or their partition suspected."""
        if not self._condemned and not self._suspects:
            return False
        return any(tuple(item.lease.place) in self._suspects or self.verdict(item) for item in items)
