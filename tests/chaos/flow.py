"""RUNS IN THE SOAK: a broker that is none of the tree's, a producer that never stops, and what was acknowledged.

A real Kafka when Java and its jars are there; otherwise the mock cluster of the client library, in this process.
"""

from __future__ import annotations

import json
import signal
import struct
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from chaos.scene import PARTITIONS
from support.real_kafka import RealKafka, why_not


class Flow:
    """`rate` records a second, to each partition in turn."""

    def __init__(self, rate: float) -> None:
        self.topic = "soak"
        self.acked: dict[int, set[int]] = defaultdict(set)
        self._rate, self._over = rate, threading.Event()
        self.real: RealKafka | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._start_broker()
        self._thread = threading.Thread(target=self._produce, daemon=True)
        self._thread.start()

    def _start_broker(self) -> None:
        from confluent_kafka import Producer

        if why_not() is None:
            self._folder = tempfile.TemporaryDirectory(prefix="kafka-", dir="/tmp")
            self.real = RealKafka(Path(self._folder.name))
            self.bootstrap = self.real.bootstrap
            self.real.create_topic(self.topic, PARTITIONS)
            self.real.create_topic(f"{self.topic}.dlq", 1)
            return
        self._cluster = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        brokers = self._cluster.list_topics(timeout=30).brokers.values()
        self.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    @property
    def kind(self) -> str:
        return "Apache Kafka" if self.real else "a mock cluster"

    def _produce(self) -> None:
        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": self.bootstrap, "acks": "all", "log_level": 0, "linger.ms": 0})
        number = 0
        while not self._over.is_set():
            with suppress(BufferError):
                value = json.dumps({"n": number})
                producer.produce(self.topic, value, partition=number % PARTITIONS, on_delivery=self._delivered)
                number += 1
            producer.poll(0)
            self._over.wait(1 / self._rate)
        producer.flush(60)

    def _delivered(self, error: Any, message: Any) -> None:
        if error is None:
            self.acked[message.partition()].add(message.offset())

    def so_far(self) -> dict[int, set[int]]:
        return {partition: set(offsets) for partition, offsets in list(self.acked.items())}

    @property
    def count(self) -> int:
        return sum(len(offsets) for offsets in self.so_far().values())

    def end(self) -> None:
        """No more records; all that were sent are acknowledged."""
        self._over.set()
        self._thread.join(90)

    def freeze(self, seconds: float) -> None:
        """The broker is silent: connections stay open."""
        assert self.real is not None
        self.real.signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.real.signal(signal.SIGCONT)

    def committed(self, group: str) -> dict[int, int]:
        """By a client of our own; what is not committed yet is 0."""
        with self._reader(group) as reader:
            found = reader.committed([_place(self.topic, p) for p in range(PARTITIONS)], timeout=30)
            return {place.partition: max(place.offset, 0) for place in found}

    def letters(self) -> set[tuple[int, int]]:
        """Return (partition, offset) of the records that went to the dead letters."""
        topic, found = f"{self.topic}.dlq", set()
        with self._reader("judge") as reader:
            known = reader.list_topics(timeout=30).topics.get(topic)
            for partition in known.partitions if known else ():
                end = reader.get_watermark_offsets(_place(topic, partition), timeout=30)[1]
                reader.assign([_place(topic, partition, 0)])
                for _ in range(end):
                    message = reader.poll(30)
                    if message is not None and message.error() is None:
                        headers = dict(message.headers() or ())
                        found.add((_number(headers, "!i", "partition"), _number(headers, "!q", "offset")))
        return found

    def _reader(self, group: str) -> Any:
        from contextlib import closing

        from confluent_kafka import Consumer

        return closing(
            Consumer(
                {
                    "bootstrap.servers": self.bootstrap,
                    "group.id": group,
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "log_level": 0,
                }
            )
        )

    def close(self) -> None:
        self._over.set()
        if self.real:
            self.real.signal(signal.SIGCONT)
            self.real.stop()
        if self._folder:
            self._folder.cleanup()


def _number(headers: dict[str, Any], form: str, name: str) -> int:
    """As Spring's dead letters say it."""
    return int(struct.unpack(form, headers[f"kafka_dlt-original-{name}"])[0])


def _place(topic: str, partition: int, offset: int | None = None) -> Any:
    from confluent_kafka import TopicPartition

    return TopicPartition(topic, partition) if offset is None else TopicPartition(topic, partition, offset)
