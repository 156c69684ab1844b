"""RUNS IN A CHILD, in the thread that owns the client: where paused partitions end.

The client's statistics know the end of a partition from fetching it; of a paused one they tell what was. There
people look at the lag first, so the broker is asked, seldom and briefly.
"""

from __future__ import annotations

import logging
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

from supervisor.child.kafka import errors
from supervisor.core.kafka.lag import Place, Statistics, with_ends

log = logging.getLogger(__name__)

EVERY = 5.0  # seconds
WITHIN = 1.0  # for all of them together: meanwhile nothing is polled


class PausedEnds:
    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._ends: dict[Place, int] = {}
        self._looked = 0.0

    def added(self, statistics: Statistics | None, paused: set[Place]) -> Statistics | None:
        """Return the statistics with the ends of the paused partitions as they were at the last look."""
        if statistics is None or not paused:
            return statistics
        if time.monotonic() - self._looked >= EVERY:
            self._look(sorted(paused))
        return with_ends(statistics, {place: end for place, end in self._ends.items() if place in paused})

    def _look(self, places: list[Place]) -> None:
        until = time.monotonic() + WITHIN
        try:
            for place in places:
                if (left := until - time.monotonic()) <= 0:
                    break
                self._ends[place] = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=left)[1]
        except KafkaException as e:
            log.debug("the ends of paused partitions are not known: %s", errors.of(e).str())
        self._looked = time.monotonic()
