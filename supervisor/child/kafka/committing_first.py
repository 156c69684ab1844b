"""RUNS IN A CHILD, in the thread that owns the client: commit, and only then handle (delivery = "at_most_once")."""

from __future__ import annotations

import logging

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from supervisor.child.kafka import errors
from supervisor.child.kafka.callbacks import commit
from supervisor.core.kafka.lag import Place

log = logging.getLogger(__name__)


def committed(consumer: Consumer, messages: list[Message]) -> list[Message]:
    """Return those that may be handled now: all, or none when the broker did not take the offsets."""
    firsts: dict[Place, int] = {}
    ends: dict[Place, int] = {}
    for message in messages:
        place = (message.topic() or "", message.partition() or 0)
        offset = message.offset() or 0
        firsts.setdefault(place, offset)
        ends[place] = offset + 1
    if not ends or commit(consumer, ends):
        return messages
    for place, offset in firsts.items():
        try:
            consumer.seek(TopicPartition(*place, offset))
        except KafkaException as e:  # not ours any more: who has it now reads it
            log.debug("%s:%d not set back: %s", *place, errors.of(e).str())
    return []
