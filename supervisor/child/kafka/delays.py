"""RUNS IN A CHILD, in the thread that owns the client: records of retry topics, each kept back until it is due.

All of one retry topic wait equally long, so the first that is not due is as good as all behind it: the partition is
paused there, set back to it when its time has come, and read on.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from confluent_kafka import Consumer, Message, TopicPartition

from supervisor.child.kafka.handler import headers
from supervisor.child.kafka.handover import Handover, Lease
from supervisor.core.kafka import retry_topics
from supervisor.core.kafka.lag import Place
from supervisor.core.spec import ConsumerSettings


class _Delay(NamedTuple):
    lease: Lease | None  # another one: the partition was taken away, or set back
    offset: int  # of the first record that is not due
    until: float  # monotonic seconds


class Delays:
    def __init__(self, consumer: Consumer, handover: Handover, settings: ConsumerSettings) -> None:
        self._consumer, self._handover = consumer, handover
        self._topics = frozenset(retry_topics.names(settings.topics, settings.retry_topics))
        self._most = max(settings.retry_topics, default=0.0)  # seconds; a clock that was wrong delays nothing longer
        self._delays: dict[Place, _Delay] = {}

    @property
    def places(self) -> set[Place]:
        return set(self._delays)

    def due(self, messages: list[Message]) -> list[Message]:
        """Return those that may be handled now; the partitions of the others wait."""
        return [message for message in messages if self._is_due(message)] if self._topics else messages

    def _is_due(self, message: Message) -> bool:
        topic = message.topic() or ""
        if topic not in self._topics:
            return True
        place = (topic, message.partition() or 0)
        lease = self._handover.lease(place)
        known = self._delays.get(place)
        if known is not None and known.lease is lease:
            return False  # behind one that waits: it is read again
        journey = retry_topics.journey(headers(message))
        left = 0.0 if journey is None else min(self._most, journey.due / 1000 - time.time())
        if left <= 0:
            return True
        self._delays[place] = _Delay(lease, message.offset() or 0, time.monotonic() + left)
        if lease is not None:
            lease.prefix.wait_at(message.offset() or 0)  # it has been fetched, but it still lags
        return False

    def release(self) -> None:
        """Set back those whose time has come."""
        now = time.monotonic()
        for place, delay in list(self._delays.items()):
            if delay.lease is None or self._handover.lease(place) is not delay.lease:
                del self._delays[place]
            elif now >= delay.until:
                del self._delays[place]
                self._consumer.seek(TopicPartition(*place, delay.offset))
