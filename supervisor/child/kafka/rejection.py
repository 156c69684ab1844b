"""RUNS IN A CHILD, in its main thread: what becomes of a record that cannot be handled.

It goes to the dead-letter topic; where that cannot be, its partition is held at it and the others flow.
Nothing is skipped without being said.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from supervisor.child.kafka.dead_letters import DEADLINE, DeadLetters, LetterRefused
from supervisor.child.kafka.handover import Handover, Item
from supervisor.child.kafka.report import Report
from supervisor.child.runtime import Runtime
from supervisor.core.kafka.lag import Place

log = logging.getLogger(__name__)

MARGIN = 5.0  # seconds between a deadline of our own and the verdict that the process is stuck
HOLD_MOST = 300.0


@dataclass(slots=True)
class _Trouble:
    """A record that fails, remembered while its partition is held."""

    offset: int
    first: float  # wall time of the first failure
    attempts: int = 0
    holds: int = 0


class Rejection:
    """`base`: seconds that a partition is held for the first time; then twice as long, up to five minutes."""

    def __init__(
        self, rt: Runtime, handover: Handover, report: Report, letters: DeadLetters | None, *, base: float
    ) -> None:
        self._rt, self._handover, self._report, self._letters = rt, handover, report, letters
        self._base = max(0.05, base)
        self._troubles: dict[Place, _Trouble] = {}

    def attempts(self, item: Item) -> int:
        """Return how often this record failed so far, holds included."""
        known = self._troubles.get(item.lease.place)
        return known.attempts if known is not None and known.offset == item.offset else 0

    def failed(self, item: Item, attempts: int) -> None:
        self._trouble(item).attempts = attempts

    def over(self, item: Item) -> None:
        """The record was handled, or has left."""
        known = self._troubles.pop(item.lease.place, None)
        if known is not None and known.holds:
            self._report.set(note=None)

    def reject(self, item: Item, error: Exception) -> None:
        reason = self.letter(item, error)
        if reason is not None:
            self.hold(item, reason)

    def letter(self, item: Item, error: Exception) -> Exception | None:
        """Write the dead letter and finish the record. Return why it could not be."""
        trouble = self._trouble(item)
        if self._letters is None:
            return error
        if not self._handover.take([item]):
            return None
        enter(self._rt, "dead letter", item, 2 * DEADLINE + MARGIN)
        try:
            self._letters.send(item.message, error, attempts=max(1, trouble.attempts), first=trouble.first)
            self._handover.finish([item])
        except LetterRefused as e:
            return e
        finally:
            self._handover.put_down()
        self._say_gone(item, error, max(1, trouble.attempts), self._letters.topic)
        self.over(item)
        return None

    def hold(self, item: Item, error: Exception) -> None:
        """Pause the partition at this record, to try it again later."""
        if not item.lease.live:
            return
        trouble = self._trouble(item)
        trouble.holds += 1
        seconds = min(HOLD_MOST, self._base * 2.0 ** min(trouble.holds - 1, 16))
        hint = "" if self._letters else "; without a dead_letter_topic it is not passed"
        text = f"{at(item)}: {say(error)}{hint}; the partition is paused, next try in {seconds:.3g} s"
        log.error("%s", text, exc_info=error if trouble.holds == 1 else None, extra={"event": "paused"})
        self._handover.hold(item, seconds)
        self._report.set(note=text[:600])
        self._report.flush()
        if trouble.holds == 1:
            self._rt.notice("error", "partition_paused", text)

    def _say_gone(self, item: Item, error: Exception, attempts: int, topic: str) -> None:
        times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        text = f"{at(item)} to {topic} after {times}: {say(error)}"
        log.error("dead letter: %s", text, extra={"event": "dead_letter"})
        self._rt.notice("warning", "dead_letter", text)

    def _trouble(self, item: Item) -> _Trouble:
        known = self._troubles.get(item.lease.place)
        if known is None or known.offset != item.offset:
            known = self._troubles[item.lease.place] = _Trouble(item.offset, time.time())
        return known


def enter(rt: Runtime, phase: str, item: Item, budget: float | None) -> None:
    topic, partition = item.lease.place
    rt.enter(phase, topic, budget=budget, partition=partition, offset=item.offset)


def at(item: Item) -> str:
    topic, partition = item.lease.place
    return f"{topic}:{partition}:{item.offset}"


def say(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"
