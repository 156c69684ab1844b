"""RUNS IN A CHILD, in its main thread: after an attempt, what is to be done next, and in which order.

One record or batch is one step. A step that fails is followed by others: the same again after a wait, or record by
record, so that one bad record is alone to blame; in the end each record is handled, or rejection has judged it.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from supervisor.child.kafka.calling import Result
from supervisor.child.kafka.handover import Handover, Item, Lease
from supervisor.child.kafka.rejection import Rejection
from supervisor.child.kafka.report import Report
from supervisor.child.kafka.troubles import at, say
from supervisor.child.resources import ResourceUnavailable
from supervisor.core.kafka.away import is_away
from supervisor.core.kafka.decode import Undecodable
from supervisor.core.kafka.verdicts import Retry, StopPartition, Verdict
from supervisor.core.lifecycle.backoff import delay
from supervisor.core.spec import ConsumerSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    items: Sequence[Item]
    attempt: int = 1
    wait: float = 0.0  # seconds before it
    away: int = 0  # times in a row that what the handler needs was away: that costs no attempt


class Steps:
    def __init__(self, settings: ConsumerSettings, handover: Handover, report: Report, rejection: Rejection) -> None:
        self._settings, self._handover, self._report, self._rejection = settings, handover, report, rejection
        self.waits = False  # for a dependency

    def first(self, item: Item) -> Step:
        """A record that was held has attempts behind it."""
        return Step([item], self._rejection.attempts(item) + 1)

    def after(self, step: Step, result: Result) -> list[Step]:
        """Finish what is done, put it all down, judge what is lost; return what is to be tried again."""
        items = step.items
        if result.error is None and not result.failed and not result.untried:
            self._over(items, items)
            return []
        lost = {*result.failed, *result.untried, *(result.called if result.error is not None else ())}
        done = [item for index, item in enumerate(items) if index not in lost]
        self._over(items, done)
        following: list[Step] = []
        if result.error is not None:
            called = [items[index] for index in result.called]
            following += self._whole(called, step, result.error)
        for index, error in result.failed.items():
            following += self._one(items[index], step, error)
        if result.untried:
            following.append(Step([items[index] for index in result.untried]))
        return following

    def _over(self, items: Sequence[Item], done: Sequence[Item]) -> None:
        self._handover.finish(done)
        self._handover.put_down(items)
        self._rejection.done(done)
        if self.waits and done:
            self.waits = False
            self._report.waiting("dependency", None)

    def _whole(self, items: list[Item], step: Step, error: Exception) -> list[Step]:
        if len(items) == 1:
            return self._one(items[0], step, error)
        if _is_away(error):
            return [self._wait_for_dependency(items, step, error)]
        if isinstance(error, Retry | StopPartition):
            firsts: dict[Lease, Item] = {}
            for item in items:
                firsts.setdefault(item.lease, item)
            for item in firsts.values():
                self._rejection.judge(item, error)
            return []
        self._rejection.failed(items[0], step.attempt)
        if step.attempt > self._settings.retries or isinstance(error, Verdict):
            log.warning("a batch of %d failed: %s; now record by record", len(items), say(error))
            return [Step([item], step.attempt) for item in items]
        return [self._again(items, step, error)]

    def _one(self, item: Item, step: Step, error: Exception) -> list[Step]:
        if _is_away(error):
            return [self._wait_for_dependency([item], step, error)]
        self._rejection.failed(item, step.attempt)
        if step.attempt > self._settings.retries or isinstance(error, Verdict | Undecodable):
            self._rejection.judge(item, error)
            return []
        return [self._again([item], step, error)]

    def _again(self, items: list[Item], step: Step, error: Exception) -> Step:
        base, cap = self._settings.retry_base, self._settings.retry_max
        seconds = delay(step.attempt + 1, base=base, cap=cap, jitter=0.2, draw=random.random())
        text = f"{at(items[0])} attempt {step.attempt}: {say(error)}; again in {seconds:.2f} s"
        log.warning("%s", text, exc_info=error, extra={"event": "retry"})
        return Step(items, step.attempt + 1, seconds)

    def _wait_for_dependency(self, items: list[Item], step: Step, error: Exception) -> Step:
        times = step.away + 1
        text = f"what the handler needs is away: {say(error)}"
        log.log(logging.WARNING if times == 1 else logging.DEBUG, "%s; waiting for it", text)
        self.waits = True
        self._report.waiting("dependency", text)
        base, cap = self._settings.start_retry_base, self._settings.start_retry_max
        seconds = delay(times + 1, base=base, cap=cap, jitter=0.2, draw=random.random())
        return replace(step, items=items, wait=seconds, away=times)


def _is_away(error: Exception) -> bool:
    return isinstance(error, ResourceUnavailable) or is_away(error)
