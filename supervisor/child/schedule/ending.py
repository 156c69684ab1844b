"""RUNS IN A CHILD: how an attempt ends that does not end by itself: what it hears, what is raised in it."""

from __future__ import annotations

import time
from dataclasses import replace

from supervisor.child.schedule.attempt import Outcome
from supervisor.child.schedule.ledger import Ledger
from supervisor.child.schedule.timeout import Overtaken, TaskTimeout
from supervisor.core.schedule.limits import Limit
from supervisor.core.words import short

OVERLAP = "overlap"  # the reason in the record
_TEXT = "ended for the next slot"


class Ending:
    """Of one attempt."""

    def __init__(self, limit: Limit, ledger: Ledger) -> None:
        self.limit, self._ledger = limit, ledger
        self._began = time.monotonic()
        self._heard = False

    def begin(self) -> None:
        """The function is called now."""
        self._began = time.monotonic()

    def asks(self) -> bool:
        """Whether the function should stop for the next slot. What asks and then returns has been cut short."""
        ask = self.limit.ask
        asked = ask is not None and time.monotonic() - self._began >= ask
        self._heard = self._heard or asked
        return asked

    def error(self) -> TaskTimeout:
        """Return what ends the function. Called by a signal handler: whatever becomes of it now, the record is true."""
        if self.limit.why == "overlap":
            self._ledger.interrupt(OVERLAP)
            return Overtaken(_TEXT)
        return TaskTimeout(f"not done within its timeout of {short(self.limit.soft or 0.0)}")

    def budget(self) -> float | None:
        """Seconds that are left until the parent's verdict: progress shows life, it does not buy time."""
        hard = self.limit.hard
        return None if hard is None else max(0.0, hard - (time.monotonic() - self._began))

    def judged(self, outcome: Outcome) -> Outcome:
        if outcome.state == "ok" and self._heard:
            return replace(outcome, state="interrupted", reason=OVERLAP, error=f"overlap: {_TEXT}")
        return outcome
