"""RUNS IN A CHILD, in its main thread: what becomes of a record that is not handled.

It goes to a retry topic or to the dead-letter topic; where that cannot be, its partition is held at it and the others
flow. Nothing is passed without being said and counted.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable

from supervisor.child.kafka.dead_letters import DeadLetters, LetterRefused
from supervisor.child.kafka.handover import Handover, Item
from supervisor.child.kafka.outgoing import DEADLINE
from supervisor.child.kafka.quarantine import Poisoned
from supervisor.child.kafka.report import Report
from supervisor.child.kafka.retrying import RetryTopics
from supervisor.child.kafka.troubles import Troubles, at, enter, say
from supervisor.child.runtime import Runtime
from supervisor.core.kafka.decode import Undecodable
from supervisor.core.kafka.lag import Place
from supervisor.core.kafka.letter_limit import LetterLimit, Tally
from supervisor.core.kafka.poison import DEATHS
from supervisor.core.kafka.verdicts import Retry, Skip, StopPartition, Verdict
from supervisor.core.spec import ConsumerSettings

log = logging.getLogger(__name__)

MARGIN = 5.0  # seconds between a deadline of our own and the verdict that the process is stuck
HOLD_MOST = 300.0


class LetterHeld(Exception):
    """So many dead letters in a short time are not believed to be the records' fault."""


class Rejection:
    def __init__(
        self,
        rt: Runtime,
        settings: ConsumerSettings,
        handover: Handover,
        report: Report,
        letters: DeadLetters | None,
        retries: RetryTopics,
    ) -> None:
        self._rt, self._handover, self._report = rt, handover, report
        self._letters, self._retries = letters, retries
        self._base = max(0.05, settings.retry_max)  # of the first hold; then twice as long, up to five minutes
        self._limit = LetterLimit(
            ratio=settings.letter_ratio, window=settings.letter_window, consecutive=settings.letter_consecutive
        )
        self.tallies: dict[Place, Tally] = {}
        self.troubles = Troubles()  # empty: no record is known to have failed before

    def attempts(self, item: Item) -> int:
        return self.troubles.attempts(item)

    def failed(self, item: Item, attempts: int) -> None:
        self.troubles.of(item).attempts = attempts

    def done(self, items: Iterable[Item]) -> None:
        """The handler took them."""
        if not self.tallies and not self.troubles:
            return
        for item in items:
            self._over(item)
            if self.tallies and (tally := self.tallies.get(item.lease.place)):
                tally.handled()

    def _over(self, item: Item) -> None:
        if self.troubles.over(item):
            self._report.set(note=None)

    def judge(self, item: Item, error: Exception) -> None:
        """No further attempt in place: do what the handler says, or else what the configuration does."""
        match error:
            case Skip():
                self._skip(item, error)
            case StopPartition():
                self.hold(item, error, math.inf)
            case Retry():
                self._later(item, error)
            case _:
                self._reject(item, error)

    def _reject(self, item: Item, error: Exception) -> None:
        hopeless = isinstance(error, Verdict | Undecodable | Poisoned)
        reason: Exception | None
        if not hopeless and self._retries.next(item.message) is not None:
            reason = self._into_retry_topic(item, error)
        else:
            reason = self._letter(item, error)
        if reason is not None:
            self.hold(item, reason)

    def _skip(self, item: Item, error: Skip) -> None:
        log.info("skipped: %s: %s", at(item), error.why or "the handler says so", extra={"event": "skipped"})
        if self._handover.take([item]):
            self._handover.finish([item])
            self._handover.put_down([item])
            self._report.count("skipped")
        self._over(item)

    def _later(self, item: Item, error: Retry) -> None:
        """As often as the handler asks for it: that is no failure, so nobody is alarmed."""
        seconds = self._wait(self.troubles.of(item).attempts) if error.after is None else error.after
        why = f": {error.why}" if error.why else ""
        text = f"{at(item)}: the handler asks to have it again in {seconds:.3g} s{why}"
        log.info("%s", text, extra={"event": "retry"})
        self.troubles.of(item).holds += 1
        self._report.count("retries")
        self._pause(item, seconds, text)

    def _into_retry_topic(self, item: Item, error: Exception) -> Exception | None:
        """Return None once it is there, or why it is not."""
        trouble = self.troubles.of(item)
        if not self._handover.take([item]):
            return None
        enter(self._rt, "retry topic", item, 2 * DEADLINE + MARGIN)
        attempts = max(1, trouble.attempts) + self._retries.before(item.message)
        first = self._retries.first(item.message) or trouble.first
        try:
            topic, refused = self._retries.send(item.message, attempts=attempts, first=first)
            if refused is not None:
                return LetterRefused(f'retry topic "{topic}": {refused.str()}')
            self._handover.finish([item])
        finally:
            self._handover.put_down([item])
        log.warning("%s to %s after %s: %s", at(item), topic, _times(attempts), say(error), extra={"event": "retry"})
        self._report.count("retry_topic")
        self._over(item)
        return None

    def _letter(self, item: Item, error: Exception) -> Exception | None:
        """Write the dead letter and finish the record. Return why it could not be."""
        trouble = self.troubles.of(item)
        if self._letters is None:
            return error
        tally = self.tallies.setdefault(item.lease.place, Tally(self._limit))
        if refusal := tally.refusal():
            return LetterHeld(f"{refusal}; the next would be {say(error)}")
        if not self._handover.take([item]):
            return None
        enter(self._rt, "dead letter", item, 2 * DEADLINE + MARGIN)
        attempts = _made(trouble.attempts, error) + self._retries.before(item.message)
        first = self._retries.first(item.message) or trouble.first
        try:
            self._letters.send(self._retries.source(item.message), error, attempts=attempts, first=first)
            self._handover.finish([item])
        except LetterRefused as e:
            return e
        finally:
            self._handover.put_down([item])
        tally.letter()
        self._say_gone(item, error, attempts, self._letters.topic)
        self._over(item)
        return None

    def hold(self, item: Item, error: Exception, seconds: float | None = None) -> None:
        """Pause the partition at this record, to try it again later."""
        if not item.lease.live:
            return
        trouble = self.troubles.of(item)
        trouble.holds += 1
        seconds = self._wait(trouble.holds) if seconds is None else seconds
        text = f"{at(item)}: {say(error)}{self._hint(error)}; the partition is paused, {_until(seconds)}"
        log.error("%s", text, exc_info=error if trouble.holds == 1 else None, extra={"event": "paused"})
        self._pause(item, seconds, text)
        if trouble.holds == 1:
            self._rt.notice("error", "partition_paused", text)

    def _hint(self, error: Exception) -> str:
        if isinstance(error, LetterHeld):
            return "; mend the handler and restart the consumer, or raise the limit"
        if isinstance(error, StopPartition) or self._letters is not None:
            return ""
        return "; without a dead_letter_topic it is not passed"

    def _pause(self, item: Item, seconds: float, text: str) -> None:
        self._handover.hold(item, seconds)
        self._report.set(note=text[:600])
        self._report.stand(text, lambda: self._handover.lease(item.lease.place) is item.lease)
        self._report.flush()

    def _wait(self, times: int) -> float:
        return min(HOLD_MOST, self._base * 2.0 ** min(max(0, times - 1), 16))

    def _say_gone(self, item: Item, error: Exception, attempts: int, topic: str) -> None:
        text = f"{at(item)} to {topic} after {_times(attempts)}: {say(error)}"
        log.error("dead letter: %s", text, extra={"event": "dead_letter"})
        self._report.count("dead_letters")
        self._rt.notice("warning", "dead_letter", text)


def _made(attempts: int, error: Exception) -> int:
    """Of a record that killed, its deaths were the attempts: the process that gives it up never made one."""
    return DEATHS if isinstance(error, Poisoned) else max(1, attempts)


def _times(attempts: int) -> str:
    return "1 attempt" if attempts == 1 else f"{attempts} attempts"


def _until(seconds: float) -> str:
    return f"next try in {seconds:.3g} s" if math.isfinite(seconds) else "until the consumer is restarted"
