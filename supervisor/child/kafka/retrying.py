"""RUNS IN A CHILD, in its main thread: records that failed, on their way into a retry topic and back.

As with a dead letter, the source's offset is stored only when the retry topic has the record.
"""

from __future__ import annotations

import time
from typing import cast

from confluent_kafka import KafkaError, Message

from supervisor.child.kafka.handler import headers
from supervisor.child.kafka.outgoing import Producing
from supervisor.core.kafka import retry_topics
from supervisor.core.kafka.deadletter import Header
from supervisor.core.kafka.retry_topics import Journey
from supervisor.core.spec import ConsumerSettings


class Returned:
    """A record of a retry topic, as its first topic had it. What is asked of a client's message it answers too."""

    def __init__(self, message: Message, journey: Journey) -> None:
        self._message, self.journey = message, journey
        self._headers = retry_topics.own(headers(message))

    def value(self) -> bytes | None:
        return self._message.value()

    def key(self) -> bytes | None:
        return self._message.key()

    def headers(self) -> list[Header]:
        return self._headers

    def topic(self) -> str:
        return self.journey.topic

    def partition(self) -> int:
        return self.journey.partition

    def offset(self) -> int:
        return self.journey.offset

    def timestamp(self) -> tuple[int, int]:
        return self.journey.timestamp_type, self.journey.timestamp


class RetryTopics:
    """Of one consumer; without `retry_topics` it has nothing to say."""

    def __init__(self, settings: ConsumerSettings, producing: Producing) -> None:
        self._settings, self._producing = settings, producing
        self._names = frozenset(retry_topics.names(settings.topics, settings.retry_topics))

    def __bool__(self) -> bool:
        return bool(self._names)

    def source(self, message: Message) -> Message:
        """Return the record as its first topic had it."""
        if not self._names or message.topic() not in self._names:
            return message
        journey = retry_topics.journey(headers(message))
        return message if journey is None else cast("Message", Returned(message, journey))

    def is_ours(self, message: Message) -> bool:
        """Return whether this group is meant: another may have retry topics of the same names."""
        source = self.source(message)
        return not isinstance(source, Returned) or source.journey.group == self._settings.group_id

    def before(self, message: Message) -> int:
        """Return how many attempts it had before it came into this topic."""
        source = self.source(message)
        return source.journey.attempts if isinstance(source, Returned) else 0

    def first(self, message: Message) -> float | None:
        """Return when it failed for the first time (epoch seconds), when that was before it came into this topic."""
        source = self.source(message)
        return source.journey.first / 1000 if isinstance(source, Returned) else None

    def next(self, message: Message) -> float | None:
        """Return the delay of the retry topic where it goes next, None when there is none left."""
        source = self.source(message)
        stage = source.journey.stage if isinstance(source, Returned) else 0
        return self._settings.retry_topics[stage] if stage < len(self._settings.retry_topics) else None

    def send(self, message: Message, *, attempts: int, first: float) -> tuple[str, KafkaError | None]:
        """Return the topic, and None once it has the record."""
        source = self.source(message)
        delay = self.next(message)
        assert delay is not None
        kind, milliseconds = source.timestamp()
        journey = Journey(
            topic=source.topic() or "",
            partition=source.partition() or 0,
            offset=source.offset() or 0,
            timestamp=milliseconds if kind else -1,
            timestamp_type=kind,
            group=self._settings.group_id,
            attempts=attempts,
            first=int(first * 1000),
            due=int((time.time() + delay) * 1000),
            stage=1 + (source.journey.stage if isinstance(source, Returned) else 0),
        )
        topic = retry_topics.name(journey.topic, delay)
        sent = self._producing.send(topic, source.value(), source.key(), journey.headers(headers(source)))
        return topic, self._producing.wait([sent])
