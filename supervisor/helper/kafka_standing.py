"""RUNS IN A PROCESS OF ITS OWN, that ends soon: how far a consumer's group is, as the broker has it."""

from __future__ import annotations

import time
from typing import Any

from supervisor.core.kafka.settings import consumer_properties
from supervisor.core.spec import ConsumerSettings


def standing(settings: ConsumerSettings, bootstrap: str, within: float) -> list[dict[str, Any]] | str:
    """Return one row for each partition, or why there was no answer. Joins no group, commits nothing."""
    from confluent_kafka import Consumer, KafkaException

    end = time.monotonic() + within
    properties = consumer_properties(settings, bootstrap=bootstrap, client_id="forkwarden-cli")
    client: Any = Consumer({**properties, "log_level": 0})
    try:
        return [row for topic in settings.topics for row in _of_topic(client, settings, topic, end)]
    except KafkaException as error:
        return str(error.args[0].str())  # not closed: this process ends now, and closing waits for the broker


def _of_topic(client: Any, settings: ConsumerSettings, topic: str, end: float) -> list[dict[str, Any]]:
    from confluent_kafka import TopicPartition

    numbers = sorted(client.list_topics(topic, timeout=_left(end)).topics[topic].partitions)
    places = [TopicPartition(topic, number) for number in numbers]
    rows = []
    for found in client.committed(places, timeout=_left(end)) if places else []:
        low, high = client.get_watermark_offsets(found, timeout=_left(end))
        position = found.offset if found.offset >= 0 else None
        begin = {"earliest": low, "latest": high}.get(settings.auto_offset_reset) if position is None else position
        lag = None if begin is None else max(0, high - max(low, begin))
        rows.append({"topic": topic, "partition": found.partition, "position": position, "end": high, "lag": lag})
    return rows


def _left(end: float) -> float:
    return max(0.1, end - time.monotonic())
