"""RUNS IN A PROCESS OF ITS OWN, that ends soon: dead letters, and their way back to where they came from."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from supervisor.core.kafka.deadletter import OURS, SPRING
from supervisor.core.spec import ConsumerSettings
from supervisor.helper.kafka_records import TO_SEND, begins, known_topic, produce, read, reader, row, text

REPLAYS = f"{OURS}replays"  # how often a letter went back
_SHOWN = {
    "exception": f"{SPRING}exception-fqcn",
    "message": f"{SPRING}exception-message",
    "topic": f"{SPRING}original-topic",
    "group": f"{SPRING}original-consumer-group",
    "source": f"{OURS}source",
    "attempts": f"{OURS}attempts",
    "replays": REPLAYS,
    "stacktrace": f"{SPRING}exception-stacktrace",
}


def letters(settings: ConsumerSettings, bootstrap: str, within: float, most: int) -> list[dict[str, Any]] | str:
    """Return the letters, the newest `most` of each partition, the oldest first; or why there was no answer."""
    found = _read(settings, bootstrap, time.monotonic() + within, most)
    return found if isinstance(found, str) else [_letter(message) for message in found]


def replay(
    settings: ConsumerSettings, bootstrap: str, within: float, wanted: Sequence[Sequence[int]], most: int
) -> int | str:
    """Send those at [partition, offset] back; return how many, or why not all: nothing goes when a topic is gone."""
    places = {(partition, offset) for partition, offset in wanted}
    found = _read(settings, bootstrap, time.monotonic() + within / 2, most)
    if isinstance(found, str):
        return found
    by_topic: dict[str, list[TO_SEND]] = {}
    for message in found:
        if (message.partition(), message.offset()) in places:
            by_topic.setdefault(str(_letter(message)["topic"]), []).append(_back(message))
    if refused := _gone(settings, bootstrap, within / 2, by_topic):
        return refused
    done = 0
    for topic, sending in by_topic.items():
        placed = produce(settings, bootstrap, within, topic, sending)
        if isinstance(placed, str):
            return f'topic "{topic}": {placed}; {done} went to other topics before'
        done += len(placed)
    return done


def _read(settings: ConsumerSettings, bootstrap: str, end: float, most: int) -> list[Any] | str:
    from confluent_kafka import KafkaException, TopicPartition

    client = reader(settings, bootstrap)
    try:
        places = begins(client, [str(settings.dead_letter_topic)], most, end)
        client.assign([TopicPartition(*place) for place in places])
        found, _ = read(client, places, end)
    except LookupError as error:
        return str(error.args[0])
    except KafkaException as error:
        return str(error.args[0].str())
    return sorted(found, key=lambda message: (message.partition(), message.offset()))


def _gone(settings: ConsumerSettings, bootstrap: str, within: float, topics: Mapping[str, object]) -> str:
    from confluent_kafka import KafkaException

    client = reader(settings, bootstrap)
    try:
        for topic in topics:
            known_topic(client, topic, time.monotonic() + within)
    except LookupError as error:
        return f"nothing was sent: where the letter came from is gone: {error.args[0]}"
    except KafkaException as error:
        return str(error.args[0].str())
    return ""


def _letter(message: Any) -> dict[str, Any]:
    """Of a name that stands twice the last value counts: it came back, and failed again."""
    named = dict(message.headers() or ())
    shown = {key: text(named.get(header)) for key, header in _SHOWN.items()}
    own = [[name, text(value)] for name, value in message.headers() or () if not _added(name)]
    replays = str(shown["replays"] or "0")
    return {**row(message), **shown, "headers": own, "replays": int(replays) if replays.isdecimal() else 0}


def _back(message: Any) -> TO_SEND:
    """As it was at first, but for the count. Its time is new: else it may be too old to be handled, or kept."""
    own = [(name, value) for name, value in message.headers() or () if not _added(name)]
    count = _letter(message)["replays"] + 1
    return message.value(), message.key(), [*own, (REPLAYS, str(count).encode())]


def _added(name: str) -> bool:
    return name.startswith((SPRING, OURS))
