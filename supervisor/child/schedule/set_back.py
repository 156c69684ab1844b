"""RUNS IN A CHILD: what a clock that was set back leaves behind, until it is where it was before.

Slots up to `barrier` may have run already: those keep their record. Those that had not, and whose record of not
running is void now, have none: from `behind` on, which is in the ledger, a later process must look at each again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from supervisor.child.schedule.ledger import Ledger
from supervisor.child.schedule.ledger_file import stamp
from supervisor.core.schedule.carve import free
from supervisor.core.schedule.missed import Range
from supervisor.core.schedule.slots import Trigger

_BEHIND = "behind"


class SetBack:
    def __init__(self, ledger: Ledger, trigger: Trigger) -> None:
        self._ledger, self._trigger = ledger, trigger
        self.barrier = 0.0

    def begin(self, settled: float) -> float:
        """Return up to when all slots have a record, of `settled`, up to which some have."""
        behind = self._ledger.meta(_BEHIND)
        if behind is None or behind >= settled:
            return settled
        self.barrier = settled
        return max(float(behind), self._ledger.meta("since") or 0.0)

    def happened(self, settled: float, now: float) -> None:
        self.barrier = max(self.barrier, settled, now)
        self._ledger.set_meta(_BEHIND, min(settled, now))  # first: who is killed here looks at more than it must
        self._ledger.forget_future(now)

    def passed(self, settled: float) -> None:
        """All slots up to `settled` have a record: is that beyond what ran before?"""
        if self.barrier and settled > self.barrier:
            self.barrier = 0.0
            self.forget()

    def forget(self) -> None:
        if self._ledger.meta(_BEHIND) is not None:
            self._ledger.set_meta(_BEHIND, None)

    def upcoming(self, slot: float | None) -> float | None:
        """Return the first slot, from `slot` on, that will run: those that have a record do not."""
        while slot is not None and slot <= self.barrier and self._ledger.has(slot):
            slot = self._trigger.next_after(slot)
        return slot

    def waiting(self) -> str | None:
        waits = self.barrier > time.time()
        return f"slots until {stamp(self.barrier)} have run: the clock was set back" if waits else None

    def free(self, whole: Range) -> Iterator[Range]:
        """Yield of slots that did not run those that have no record yet."""
        if whole.first > self.barrier:
            yield whole
        else:
            found = self._ledger.covering(whole.first, whole.last)
            yield from free(self._trigger, whole, [(row["slot"], row.get("last") or row["slot"]) for row in found])
