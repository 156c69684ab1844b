"""RUNS IN A PROCESS OF ITS OWN, that ends soon: reads records without a group, and produces some.

Nothing is committed and no topic is made: a name that is mistyped stays a mistake.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from supervisor.core import names
from supervisor.core.kafka.deadletter import Header
from supervisor.core.kafka.settings import admin_properties, producer_properties
from supervisor.core.spec import ConsumerSettings

MOST = 64 * 1024  # bytes of one value that are shown
AT_ONCE = 5000  # records in one answer to who follows
TO_SEND = tuple[bytes | None, bytes | None, Sequence[Header]]  # value, key, headers


def records(
    settings: ConsumerSettings,
    bootstrap: str,
    within: float,
    topics: Sequence[str],
    count: int,
    starts: Sequence[tuple[str, int, int]] = (),
) -> dict[str, Any] | str:
    """Return {"records", "next"}: the newest `count`, or all from `starts` on; `next` is where the next call starts."""
    from confluent_kafka import KafkaException

    end = time.monotonic() + within
    client = reader(settings, bootstrap)
    try:
        places = [(t, p, o) for t, p, o in starts] or begins(client, topics, count, end)
        client.assign(_partitions(places))
        found, nexts = read(client, places, end, most=AT_ONCE if starts else None)
    except LookupError as error:
        return str(error.args[0])
    except KafkaException as error:
        return str(error.args[0].str())
    found.sort(key=lambda message: (message.timestamp()[1], message.partition(), message.offset()))
    rows = [row(message) for message in (found if starts else found[-count:])]
    return {"records": rows, "next": [[*place, offset] for place, offset in nexts.items()]}


def produce(
    settings: ConsumerSettings, bootstrap: str, within: float, topic: str, sending: Sequence[TO_SEND]
) -> list[list[int]] | str:
    """Return partition and offset of each, when all replicas have them all; a text is why not."""
    from confluent_kafka import KafkaException, Producer

    properties = producer_properties(settings, bootstrap=bootstrap, client_id="forkwarden-cli", deadline=within - 1)
    client: Any = Producer({**properties, "log_level": 0})
    placed: list[list[int]] = []
    wrong: list[str] = []

    def arrived(error: Any, message: Any) -> None:
        wrong.append(error.str()) if error else placed.append([message.partition(), message.offset()])

    try:
        known_topic(client, topic, time.monotonic() + within / 2)
        for value, key, headers in sending:
            client.produce(topic, value, key=key, headers=list(headers), on_delivery=arrived)
            client.poll(0)
        client.flush(within)
    except LookupError as error:
        return str(error.args[0])
    except (KafkaException, BufferError) as error:
        return str(error)
    missing = f"{len(placed)} of {len(sending)} records arrived"
    return placed if len(placed) == len(sending) else f"{wrong[0] if wrong else 'no answer'}; {missing}"


def reader(settings: ConsumerSettings, bootstrap: str) -> Any:
    from confluent_kafka import Consumer

    own = {"enable.auto.commit": False, "enable.auto.offset.store": False, "enable.partition.eof": True}
    more = {"group.id": settings.group_id, "client.id": "forkwarden-cli", "log_level": 0}
    isolation = {key: value for key, value in settings.properties.items() if key == "isolation.level"}
    return Consumer({**admin_properties(settings, bootstrap=bootstrap), **isolation, **own, **more})


def known_topic(client: Any, topic: str, end: float) -> list[int]:
    """Return its partitions. Raises LookupError, in words; asks for all topics, as asking for one may make it."""
    found = client.list_topics(timeout=left(end)).topics
    if topic not in found:
        raise LookupError(names.unknown("topic", topic, [each for each in found if not each.startswith("__")]))
    return sorted(found[topic].partitions)


def begins(client: Any, topics: Sequence[str], count: int, end: float) -> list[tuple[str, int, int]]:
    """Return where the last `count` records of each partition begin."""
    from confluent_kafka import TopicPartition

    places = []
    for topic in topics:
        for number in known_topic(client, topic, end):
            low, high = client.get_watermark_offsets(TopicPartition(topic, number), timeout=left(end))
            places.append((topic, number, max(low, high - count)))
    return places


def read(
    client: Any, places: Sequence[tuple[str, int, int]], end: float, *, most: int | None = None
) -> tuple[list[Any], dict[Any, int]]:
    """Return all records up to the end of each partition, about `most` at once, and where each goes on."""
    from confluent_kafka import KafkaError, KafkaException

    nexts = {(topic, number): offset for topic, number, offset in places}
    open_ones = set(nexts)
    found: list[Any] = []
    while open_ones and time.monotonic() < end and (most is None or len(found) < most):
        for message in client.consume(1000, 0.1):
            place, error = (message.topic(), message.partition()), message.error()
            if error is None:
                found.append(message)
                nexts[place] = message.offset() + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                open_ones.discard(place)
            elif not error.retriable():
                raise KafkaException(error)
    return found, nexts


def row(message: Any) -> dict[str, Any]:
    kind, milliseconds = message.timestamp()
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": milliseconds / 1000 if kind else None,
        "key": text(message.key()),
        "headers": [[name, text(value)] for name, value in message.headers() or ()],
        "value": text(message.value()),
    }


def text(raw: bytes | str | None) -> str | None:
    """Return it as text, what is none as backslashes."""
    if raw is None or isinstance(raw, str):
        return raw
    more = f"… ({len(raw)} bytes)" if len(raw) > MOST else ""
    return raw[:MOST].decode(errors="backslashreplace") + more


def left(end: float) -> float:
    return max(0.1, end - time.monotonic())


def _partitions(places: Sequence[tuple[str, int, int]]) -> list[Any]:
    from confluent_kafka import TopicPartition

    return [TopicPartition(topic, number, offset) for topic, number, offset in places]
