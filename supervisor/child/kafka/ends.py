"""RUNS IN A CHILD, in the thread that owns the client: where partitions end, as the broker says.

The client's statistics know the end of a partition from fetching it; of one that is paused or stands still they tell
what was. So the broker is asked, seldom and briefly: meanwhile nothing is polled.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from supervisor.child.kafka import errors
from supervisor.core.kafka.lag import Place, Statistics, with_ends

log = logging.getLogger(__name__)

EVERY = 5.0  # seconds, while something is paused: there people look at the lag first
WITHIN = 2.0  # for all partitions together; a broker that has nothing to send answers after half a second


class Ends:
    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._known: dict[Place, int] = {}
        self._looked = 0.0

    def ask(self, places: Iterable[Place]) -> dict[Place, int] | None:
        """Return behind which record reading ends for now, of those that are known; None: the broker did not answer.

        That is before the first record of a transaction that is open, as only what is committed is read.
        """
        wanted = [TopicPartition(*place, OFFSET_END) for place in sorted(places)]  # as a time, it means the end
        try:
            answers = self._consumer.offsets_for_times(wanted, timeout=WITHIN) if wanted else []
        except KafkaException as e:
            log.debug("where partitions end is not known: %s", errors.of(e).str())
            return None
        found = {(one.topic, one.partition): one.offset for one in answers if one.error is None and one.offset >= 0}
        self._known |= found
        return found

    def added(self, statistics: Statistics | None, paused: set[Place]) -> Statistics | None:
        """Return the statistics with the ends of the paused partitions as they were at the last look."""
        if statistics is None or not paused:
            return statistics
        if time.monotonic() - self._looked >= EVERY:
            self.ask(paused)
            self._looked = time.monotonic()
        return with_ends(statistics, {place: end for place, end in self._known.items() if place in paused})
