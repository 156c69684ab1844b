"""RUNS IN PYTEST: brokers, topics and records for the consumer tests.

Clients made here live only as long as one call: no librdkafka thread is alive in pytest when a test forks a child.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from supervisor.child.broker import mock
from supervisor.child.broker.address import read
from supervisor.child.kafka import consumer
from supervisor.child.runtime import Runtime
from supervisor.core.paths import Paths
from supervisor.core.spec import BrokerSettings, ChildSpec, ConsumerSettings, Policy
from supervisor.parent import progress
from support.child import ForkedChild, spec

WITHIN = 45.0  # joins and rebalances on a loaded machine
POOL = {f"p{partitions}-{number}": partitions for partitions in (1, 2, 4) for number in range(8)}
_numbers = itertools.count(1)


@dataclass
class Kafka:
    """A broker that tests talk to; the embedded one knows no admin calls."""

    bootstrap: str
    embedded: bool
    create: Callable[[int], str]  # a new topic of so many partitions
    properties: dict[str, Any] = field(default_factory=dict)  # what a consumer needs there beside the address
    security: dict[str, Any] = field(default_factory=dict)  # of the tests' own clients

    def topic(self, partitions: int = 1) -> str:
        return self.create(partitions)

    def produce(self, topic: str, values: list[Any], *, partition: int | None = None, **more: Any) -> None:
        """Write the values in order: bytes as they are, None as a tombstone, anything else as JSON."""
        from confluent_kafka import Producer

        producer = Producer(
            {"bootstrap.servers": self.bootstrap, "linger.ms": 0, "acks": "all", "log_level": 2}
            | {"message.max.bytes": 8_000_000, **self.security}
        )
        place: dict[str, Any] = {} if partition is None else {"partition": partition}
        for value in values:
            raw = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
            producer.produce(topic, raw, **place, **more)
            producer.poll(0)
        assert producer.flush(WITHIN) == 0, "the broker did not take the records"

    def read(self, topic: str, count: int, *, partitions: int = 1, within: float = WITHIN) -> list[Any]:
        """Return the first `count` records (client messages) of the topic."""
        from confluent_kafka import TopicPartition

        with self._reader() as reader:
            reader.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
            found: list[Any] = []
            end = time.monotonic() + within
            while len(found) < count:
                assert time.monotonic() < end, f"{len(found)} of {count} records in {topic}"
                message = reader.poll(0.1)
                if message is not None and message.error() is None:
                    found.append(message)
            return found

    def end(self, topic: str, partition: int = 0) -> int:
        """Return the offset after the last record."""
        from confluent_kafka import TopicPartition

        with self._reader() as reader:
            return int(reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=WITHIN)[1])

    def partitions(self, topic: str) -> int:
        """Return how many partitions the broker says that the topic has; 0: there is none."""
        with self._reader() as reader:
            found = reader.list_topics(timeout=WITHIN).topics.get(topic)
            return len(found.partitions) if found is not None else 0

    def committed(self, group: str, topic: str, partition: int = 0) -> int:
        """Return the group's committed offset as the broker has it, -1001 when there is none."""
        from confluent_kafka import TopicPartition

        with self._reader(group) as reader:
            return int(reader.committed([TopicPartition(topic, partition)], timeout=WITHIN)[0].offset)

    def commit_of(self, group: str, topic: str, partition: int = 0) -> tuple[int, str | None]:
        """Return the group's committed offset and the text beside it."""
        from confluent_kafka import TopicPartition

        with self._reader(group) as reader:
            found = reader.committed([TopicPartition(topic, partition)], timeout=WITHIN)[0]
            return int(found.offset), found.metadata

    @contextmanager
    def _reader(self, group: str = "tests-only") -> Iterator[Any]:
        from confluent_kafka import Consumer

        properties = {"enable.auto.commit": False, "enable.auto.offset.store": False, "log_level": 2, **self.security}
        reader = Consumer({**properties, "bootstrap.servers": self.bootstrap, "group.id": group})
        try:
            yield reader
        finally:
            reader.close()


class EmbeddedBroker(ForkedChild):
    """The product's own demo broker in a process of its own, with a stock of empty topics."""

    def __init__(self, folder: Path, topics: dict[str, int] | None = None) -> None:
        settings = BrokerSettings(topics=POOL if topics is None else topics)
        super().__init__(self.serve, spec("kafka-embedded", settings, "broker"), folder)
        self._stock = list(settings.topics.items())

    def __enter__(self) -> Self:
        return self

    @staticmethod
    def serve(rt: Runtime) -> int:
        return mock.run(rt)

    @property
    def address_file(self) -> Path:
        return self.state / "broker.json"

    def kafka(self) -> Kafka:
        self.wait_ready()
        address = read(str(self.address_file))
        assert address is not None
        return Kafka(address.bootstrap_servers, True, self._take)

    def _take(self, partitions: int) -> str:
        found = next(entry for entry in self._stock if entry[1] == partitions)
        self._stock.remove(found)
        return found[0]


def consumer_spec(
    kafka: Kafka, topics: str | list[str], *, handler: str = "mine:store", name: str = "events", **settings: Any
) -> ChildSpec:
    """A consumer with quick retries; a group of its own unless told."""
    chosen = {
        "group_id": f"group-{os.getpid()}-{next(_numbers)}",
        "auto_offset_reset": "earliest",
        "bootstrap_servers": kafka.bootstrap,
        "retry_base": 0.01,
        "retry_max": 0.05,
        "start_retry_base": 0.1,
        "start_retry_max": 0.5,
        **settings,
        "properties": {**kafka.properties, **settings.get("properties", {})},
    }
    names = (topics,) if isinstance(topics, str) else tuple(topics)
    return spec(name, ConsumerSettings(handler=handler, topics=names, **chosen), "consumer", Policy())


class Consumer(ForkedChild):
    """A member of a consumer in a process of its own. Its handler tells what it got by lines in `got`."""

    def __init__(self, folder: Path, spec: ChildSpec, code: str = "", **more: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.got_file = folder / "got"
        (folder / "mine.py").write_text(HANDLERS + code)
        assert isinstance(spec.settings, ConsumerSettings)
        self.said = progress.prepare(Paths(str(folder / ".supervisor")), spec.group, spec.settings.processes)
        super().__init__(consumer.run, spec, folder, **more)

    def __enter__(self) -> Self:
        return self

    @property
    def page(self) -> bytes:
        """The black box, as the parent reads it after the end."""
        return bytes(self._page)

    @property
    def got(self) -> list[Any]:
        """What the handlers of this folder wrote, one JSON value a line; a line half written is not there yet."""
        text = self.got_file.read_text() if self.got_file.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def wait_got(self, count: int, within: float = WITHIN) -> list[Any]:
        return self._until(lambda: got if len(got := self.got) >= count else None, within, f"{count} records handled")

    def wait_assigned(self, partitions: int, within: float = WITHIN) -> None:
        self.wait_facts(lambda facts: facts.get("partitions_total") == partitions, within)

    def wait_waiting(self, text: str, within: float = WITHIN) -> str:
        """Return what it says that it waits for, once that contains `text`."""
        return str(self.wait_facts(lambda facts: text in (facts.get("waiting") or ""), within)["waiting"])

    def stop(self, within: float = WITHIN) -> int:
        self.terminate()
        return self.exit_code(within)


HANDLERS = """
import json, os, pathlib, time
from supervisor.core.kafka.record import Record
from supervisor.core.errors import DependencyAway

HERE = pathlib.Path(__file__).parent

def tell(value):
    fd = os.open(HERE / "got", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (json.dumps(value) + "\\n").encode())
    os.close(fd)

def store(record):
    tell(record.value)

def until(name):
    while not (HERE / name).exists():
        time.sleep(0.01)
"""
