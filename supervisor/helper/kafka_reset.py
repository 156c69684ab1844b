"""RUNS IN A PROCESS OF ITS OWN, that ends soon: sets a group's offsets, as the broker keeps them."""

from __future__ import annotations

import time
from typing import Any

from supervisor.core.kafka.settings import consumer_properties
from supervisor.core.spec import ConsumerSettings
from supervisor.helper.kafka_records import known_topic, left, reader

Target = str | int | float  # "earliest", "latest", an offset, or epoch seconds


def reset(
    settings: ConsumerSettings, bootstrap: str, within: float, to: Target, partition: int | None, dry: bool
) -> list[dict[str, Any]] | str:
    """Return where each partition was and is; or why not. A broker refuses while the group has members."""
    from confluent_kafka import KafkaException

    end = time.monotonic() + within
    client = reader(settings, bootstrap)
    try:
        rows = [row for topic in settings.topics for row in _of_topic(client, topic, to, partition, end)]
        if not rows:
            return f"no topic of {settings.group_id} has a partition {partition}"
        if not dry:
            _commit(
                client, settings, bootstrap, [_place(row["topic"], row["partition"], row["to"]) for row in rows], end
            )
        return rows
    except LookupError as error:
        return str(error.args[0])
    except KafkaException as error:
        return str(error.args[0].str())


def _of_topic(client: Any, topic: str, to: Target, partition: int | None, end: float) -> list[dict[str, Any]]:
    numbers = [each for each in known_topic(client, topic, end) if partition in (None, each)]
    rows = []
    for found in client.committed([_place(topic, each) for each in numbers], timeout=left(end)) if numbers else []:
        low, high = client.get_watermark_offsets(found, timeout=left(end))
        aim = _aim(client, topic, found.partition, to, low, high, end)
        was = found.offset if found.offset >= 0 else None
        rows.append({"topic": topic, "partition": found.partition, "from": was, "to": min(max(aim, low), high)})
    return rows


def _aim(client: Any, topic: str, number: int, to: Target, low: int, high: int, end: float) -> int:
    if isinstance(to, str):
        return low if to == "earliest" else high
    if isinstance(to, int):
        return to
    found = client.offsets_for_times([_place(topic, number, int(to * 1000))], timeout=left(end))[0]
    return found.offset if found.offset >= 0 else high


def _commit(client: Any, settings: ConsumerSettings, bootstrap: str, offsets: list[Any], end: float) -> None:
    from confluent_kafka import KafkaError, KafkaException

    try:
        client.commit(offsets=offsets, asynchronous=False)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.UNKNOWN_MEMBER_ID:
            raise
        if settings.bootstrap_servers != "embedded":
            raise LookupError(f"group {settings.group_id} has members elsewhere: stop them before") from error
        _commit_as_member(settings, bootstrap, offsets, end)


def _commit_as_member(settings: ConsumerSettings, bootstrap: str, offsets: list[Any], end: float) -> None:
    """The embedded broker takes offsets of a group it has known from members only."""
    from confluent_kafka import Consumer

    properties = consumer_properties(settings, bootstrap=bootstrap, client_id="forkwarden-cli")
    client: Any = Consumer({**properties, "log_level": 0})
    client.subscribe(list(settings.topics))
    while not client.assignment():
        if time.monotonic() > end:
            raise LookupError(f"group {settings.group_id} gave us no partition in time")
        client.poll(0.1)
    client.commit(offsets=offsets, asynchronous=False)
    client.close()


def _place(topic: str, number: int, offset: int = -1001) -> Any:
    from confluent_kafka import TopicPartition

    return TopicPartition(topic, number, offset)
