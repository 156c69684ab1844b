"""RUNS IN A CHILD, in the thread that owns the client: what is handled behind a committed offset, told.

With lanes a slow record holds the offset back while those behind it are handled. Which those are stands beside the
offset in Kafka, so that who takes the partition over does not handle them again (starts reads it).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaException, TopicPartition

from supervisor.child.kafka import errors
from supervisor.child.kafka.handover import Handover
from supervisor.core.kafka.lag import Place

log = logging.getLogger(__name__)

EVERY = 1.0  # seconds, as often as the client commits


class Gaps:
    """The client commits an offset only when it has grown; what grows behind it is committed here."""

    def __init__(self, consumer: Consumer, handover: Handover, *, told: bool) -> None:
        self._consumer, self._handover, self._told = consumer, handover, told
        self._last = time.monotonic()

    def tell(self) -> None:
        now = time.monotonic()
        if not self._told or now - self._last < EVERY:
            return
        self._last = now
        offsets = self._handover.ahead()
        if notes := self._handover.notes(offsets):
            offsets = {place: offsets[place] for place in notes}
            try:
                self._consumer.commit(offsets=partitions(offsets, notes), asynchronous=True)
            except KafkaException as e:
                log.info("not committed: %s; after a crash some records come again", errors.of(e).str())


def partitions(offsets: Mapping[Place, int], notes: Mapping[Place, str]) -> list[TopicPartition]:
    found = []
    for place, offset in offsets.items():
        topic, partition = place
        note = notes.get(place)
        found.append(
            TopicPartition(topic, partition, offset) if note is None else TopicPartition(topic, partition, offset, note)
        )
    return found
