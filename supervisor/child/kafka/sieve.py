"""RUNS IN A CHILD: records that need no handling, told from the others. What is left out is counted, never silent."""

from __future__ import annotations

import time

from supervisor.child.kafka.handover import Handover, Item
from supervisor.child.kafka.report import Report
from supervisor.child.kafka.retrying import RetryTopics
from supervisor.core.spec import ConsumerSettings


class Sieve:
    """In the main thread, before a record is in hand."""

    def __init__(self, settings: ConsumerSettings, handover: Handover, report: Report, retries: RetryTopics) -> None:
        self._max_age, self._retry_topics = settings.max_age, bool(settings.retry_topics)
        self._handover, self._report, self._retries = handover, report, retries

    def passed(self, items: list[Item]) -> list[Item]:
        """Return those that are to be handled."""
        if self._max_age is None and not self._retry_topics:
            return items
        reasons = [self._reason(item) for item in items]
        left_out = [item for item, reason in zip(items, reasons, strict=True) if reason]
        if left_out:
            ours = self._handover.take(left_out)
            self._handover.finish(ours)
            self._handover.put_down(ours)
            for reason in filter(None, reasons):
                self._report.count(reason)
        return [item for item, reason in zip(items, reasons, strict=True) if not reason]

    def _reason(self, item: Item) -> str:
        if self._retry_topics and not self._retries.is_ours(item.message):
            return "of_other_groups"
        return "expired" if self._max_age is not None and self._is_old(item, self._max_age) else ""

    def _is_old(self, item: Item, most: float) -> bool:
        """A record without a timestamp is of no known age."""
        kind, milliseconds = self._retries.source(item.message).timestamp()
        return bool(kind) and time.time() - milliseconds / 1000 > most
