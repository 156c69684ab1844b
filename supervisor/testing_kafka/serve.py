"""RUNS IN THE BROKER'S PROCESS of a test: one question a line on stdin, one answer a line on stdout; it ends with them.

Bytes cross as latin-1.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from supervisor.core.spec import ConsumerSettings
from supervisor.helper.kafka_letters import letters
from supervisor.testing_kafka.cluster import Harmable

WITHIN = 10.0  # seconds for one question to the broker
MOST = 100_000  # records of one partition; it keeps 5 MB of each

Answer = Callable[..., Any]


class Serving:
    def __init__(self) -> None:
        self._cluster = Harmable()
        self._bootstrap = self._cluster.bootstrap_servers
        self._producer: Producer | None = None
        self._is_down = False

    def address(self) -> str:
        return self._bootstrap

    def topic(self, name: str, partitions: int) -> None:
        """One that is there already stays as it is."""
        self._cluster.create_topic(name, partitions)

    def down(self) -> None:
        self._cluster.down()
        self._is_down = True

    def up(self) -> None:
        self._cluster.up()
        self._is_down = False

    def _must_be_up(self) -> None:
        """Else each question would take its whole time."""
        if self._is_down:
            raise LookupError("the broker is down: kafka_mock.up()")

    def delay(self, milliseconds: int) -> None:
        self._cluster.delay(milliseconds)

    def errors(self, api: str, codes: Sequence[int | str]) -> None:
        self._cluster.errors(api, [each if isinstance(each, int) else _code(each) for each in codes])

    def requests(self, api: str) -> int:
        return self._cluster.requests(api)

    def produce(self, topic: str, records: Sequence[Sequence[Any]]) -> list[list[int]]:
        """Return partition and offset of each record: value, key, headers, partition, milliseconds."""
        self._must_be_up()
        if self._producer is None:
            own = {"linger.ms": 0, "acks": "all", "log_level": 2, "message.max.bytes": 100_000_000}
            self._producer = Producer({"bootstrap.servers": self._bootstrap, **own})
        placed: list[Any] = [None] * len(records)
        for number, (value, key, headers, partition, milliseconds) in enumerate(records):
            more: dict[str, Any] = {} if partition is None else {"partition": partition}
            more |= {} if milliseconds is None else {"timestamp": milliseconds}
            named: Any = [(name, _raw(each)) for name, each in headers]
            self._producer.produce(
                topic, _raw(value), key=_raw(key), headers=named, on_delivery=_into(placed, number), **more
            )
            self._producer.poll(0)
        if self._producer.flush(WITHIN) or None in placed:
            raise LookupError(f"the broker did not take all records within {WITHIN:g} s")
        return placed

    def records(self, topic: str) -> list[dict[str, Any]]:
        reader = self._reader()
        try:
            ends = self._ends(reader, topic)
            reader.assign([TopicPartition(topic, number, 0) for number, (_, high) in ends.items() if high])
            left = {number: high for number, (_, high) in ends.items() if high}
            found: list[dict[str, Any]] = []
            end = time.monotonic() + WITHIN
            while left and time.monotonic() < end:
                for message in reader.consume(1000, 0.1):
                    if (error := message.error()) is None:
                        found.append(_row(message))
                    elif error.code() == KafkaError._PARTITION_EOF:
                        left.pop(message.partition() or 0, None)
            return sorted(found, key=lambda each: (each["partition"], each["offset"]))
        finally:
            reader.close()

    def ends(self, topics: Sequence[str]) -> list[list[Any]]:
        reader = self._reader()
        try:
            return [
                [topic, number, high] for topic in topics for number, (_, high) in self._ends(reader, topic).items()
            ]
        finally:
            reader.close()

    def committed(self, group: str, topics: Sequence[str]) -> list[list[Any]]:
        reader = self._reader(group)
        try:
            places = [TopicPartition(topic, number) for topic in topics for number in self._ends(reader, topic)]
            found = reader.committed(places, timeout=WITHIN) if places else []
            return [[each.topic, each.partition, each.offset] for each in found if each.offset >= 0]
        finally:
            reader.close()

    def letters(self, topic: str, group: str) -> list[dict[str, Any]]:
        settings = ConsumerSettings(
            handler="",
            topics=(),
            group_id=group,
            auto_offset_reset="earliest",
            bootstrap_servers=self._bootstrap,
            dead_letter_topic=topic,
        )
        found = letters(settings, self._bootstrap, WITHIN, MOST)
        if isinstance(found, str):
            raise LookupError(found)  # noqa: TRY004  it is the reason why there is no answer
        return found

    def _reader(self, group: str = "of-the-test") -> Consumer:
        self._must_be_up()
        own = {"enable.auto.commit": False, "enable.auto.offset.store": False, "enable.partition.eof": True}
        return Consumer({"bootstrap.servers": self._bootstrap, "group.id": group, "log_level": 2, **own})

    def _ends(self, reader: Consumer, topic: str) -> dict[int, tuple[int, int]]:
        """It is asked for all topics: asking for one would make it."""
        found = reader.list_topics(timeout=WITHIN).topics.get(topic)
        numbers = sorted(found.partitions) if found is not None else []
        return {number: reader.get_watermark_offsets(TopicPartition(topic, number), WITHIN) for number in numbers}


def _into(placed: list[Any], number: int) -> Callable[[Any, Any], None]:
    def arrived(error: Any, message: Any) -> None:
        if error is None:
            placed[number] = [message.partition(), message.offset()]

    return arrived


def _row(message: Any) -> dict[str, Any]:
    kind, milliseconds = message.timestamp()
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "key": _shown(message.key()),
        "value": _shown(message.value()),
        "headers": [[name, _shown(value)] for name, value in message.headers() or ()],
        "timestamp": milliseconds if kind else None,
    }


def _raw(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")


def _shown(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("latin-1")


def _code(name: str) -> int:
    """Raises LookupError for one that the client does not know."""
    try:
        return int(getattr(KafkaError, name))
    except AttributeError:
        raise LookupError(f"there is no error {name!r}: one is NOT_COORDINATOR") from None


def main() -> None:
    """Until stdin ends: then nobody is there any more."""
    serving = Serving()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer: dict[str, Any] = {"ok": getattr(serving, name)(*arguments)}
        except KafkaException as error:
            answer = {"error": error.args[0].str()}
        except Exception as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)  # noqa: T201  it is a protocol
    os._exit(0)  # the clients would wait for a broker that ends with them


if __name__ == "__main__":
    main()
