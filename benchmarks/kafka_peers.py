"""RUN BY kafka.py, in the peers' environments: one process of one consumer, as its users write it.

python kafka_peers.py PRODUCT HANDLER

Each handles a record before it is committed, at its documented commit interval. `noop`, `sqlite` and `slow` get the
bytes; `json` gets them decoded, by the product where it does that.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [each for each in sys.path if each != HERE]  # the file kafka.py beside this one is not the package
_spec = importlib.util.spec_from_file_location("kafka_handlers", f"{HERE}/kafka_handlers.py")
assert _spec is not None
assert _spec.loader is not None
handlers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(handlers)

PRODUCT, HANDLER = sys.argv[1], sys.argv[2]
BOOTSTRAP, TOPIC, GROUP = os.environ["KAFKA_BOOTSTRAP"], os.environ["KAFKA_TOPIC"], os.environ["KAFKA_GROUP"]
SESSION = int(os.environ.get("KAFKA_SESSION", "0"))  # milliseconds; 0: as the product comes
HANDLE: Callable[[Any], None] = {"json": handlers.noop}.get(HANDLER) or getattr(handlers, HANDLER)
MANY: Callable[[list[Any]], None] = {"sqlite": handlers.sqlite_many}.get(HANDLER, handlers.noop_many)
BATCH = 500


def _decode(value: bytes) -> None:
    HANDLE(json.loads(value))


def _decode_many(values: list[bytes]) -> None:
    MANY([json.loads(value) for value in values])


def _slow_many(values: list[bytes]) -> None:
    for value in values:
        HANDLE(value)


# what the loops of clients call; it is no function more than their users would have
one = _decode if HANDLER == "json" else HANDLE
many = {"json": _decode_many, "slow": _slow_many}.get(HANDLER, MANY)


class Bare:
    """confluent-kafka's own loop, its at-least-once recipe: stored after the handler, committed in the background."""

    def __init__(self, **more: Any) -> None:
        from confluent_kafka import Consumer

        self.stop = False
        signal.signal(signal.SIGTERM, self._term)
        given = {"bootstrap.servers": BOOTSTRAP, "group.id": GROUP, "auto.offset.reset": "earliest"}
        if SESSION:
            more["session.timeout.ms"] = SESSION
        self.consumer = Consumer({**given, "enable.auto.offset.store": False, **more})
        self.consumer.subscribe([TOPIC])

    def _term(self, *_: object) -> None:
        self.stop = True

    def poll(self) -> None:
        consumer = self.consumer
        while not self.stop:
            message = consumer.poll(0.1)
            if message is None or message.error():
                continue
            one(message.value())
            consumer.store_offsets(message)
        consumer.close()

    def consume(self) -> None:
        from confluent_kafka import TopicPartition

        consumer = self.consumer
        while not self.stop:
            messages = [each for each in consumer.consume(BATCH, 0.1) if not each.error()]
            if not messages:
                continue
            many([each.value() for each in messages])
            ends = {each.partition(): each.offset() + 1 for each in messages}
            consumer.store_offsets(offsets=[TopicPartition(TOPIC, part, end) for part, end in ends.items()])
        consumer.close()


TUNED = {"fetch.queue.backoff.ms": 1}


async def aiokafka() -> None:
    from aiokafka import AIOKafkaConsumer

    more = {"session_timeout_ms": SESSION, "heartbeat_interval_ms": SESSION // 3} if SESSION else {}
    consumer = AIOKafkaConsumer(
        TOPIC, bootstrap_servers=BOOTSTRAP, group_id=GROUP, auto_offset_reset="earliest", **more
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await consumer.start()
    try:
        while not stop.is_set():
            for messages in (await consumer.getmany(max_records=BATCH, timeout_ms=100)).values():
                many([each.value for each in messages])
    finally:
        await consumer.stop()


def kafka_python() -> None:
    from kafka import KafkaConsumer

    more = {"session_timeout_ms": SESSION, "heartbeat_interval_ms": SESSION // 3} if SESSION else {}
    consumer = KafkaConsumer(TOPIC, bootstrap_servers=BOOTSTRAP, group_id=GROUP, auto_offset_reset="earliest", **more)
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    while not ended:
        for messages in consumer.poll(timeout_ms=100, max_records=BATCH).values():
            many([each.value for each in messages])
    consumer.close()


def faststream(*, batch: bool) -> None:
    """Acknowledged when the handler returned: its default acknowledges first."""
    from faststream import AckPolicy, FastStream
    from faststream.confluent import KafkaBroker

    async def raw(message: Any) -> Any:
        return message.body

    more: dict[str, Any] = {"config": {"session.timeout.ms": SESSION}} if SESSION else {}
    broker = KafkaBroker(BOOTSTRAP, logger=None, **more)
    given: dict[str, Any] = {"group_id": GROUP, "auto_offset_reset": "earliest"}
    given |= {"ack_policy": AckPolicy.NACK_ON_ERROR, "decoder": raw}
    if batch:

        @broker.subscriber(TOPIC, batch=True, max_records=BATCH, **given)
        async def handle_many(values: list[Any]) -> None:
            many(values)
    else:

        @broker.subscriber(TOPIC, **given)
        async def handle(value: Any) -> None:
            one(value)

    asyncio.run(FastStream(broker, logger=None).run())


def quix() -> None:
    from quixstreams import Application

    more: dict[str, Any] = {"consumer_extra_config": {"session.timeout.ms": SESSION}} if SESSION else {}
    application = Application(
        broker_address=BOOTSTRAP, consumer_group=GROUP, auto_offset_reset="earliest", loglevel="ERROR", **more
    )
    kind = "json" if HANDLER == "json" else "bytes"
    frame = application.dataframe(application.topic(TOPIC, value_deserializer=kind))
    frame.update(HANDLE)
    application.run()


def faust() -> None:
    import faust as library

    application = library.App(
        GROUP,
        broker=f"kafka://{BOOTSTRAP}",
        value_serializer="json" if HANDLER == "json" else "raw",
        consumer_auto_offset_reset="earliest",
        datadir=f"{handlers.FOLDER}/faust{handlers.OWN}",
        topic_replication_factor=1,
        **({"broker_session_timeout": SESSION / 1000, "broker_heartbeat_interval": SESSION / 3000} if SESSION else {}),
    )
    topic = application.topic(TOPIC, value_type=None if HANDLER == "json" else bytes)

    @application.agent(topic)
    async def handle(stream: Any) -> None:
        async for value in stream:
            HANDLE(value)

    sys.argv = ["faust", "worker", "--without-web", "-l", "error"]
    application.main()


RUN: dict[str, Callable[[], object]] = {
    "poll": lambda: Bare().poll(),
    "consume": lambda: Bare().consume(),
    "poll-tuned": lambda: Bare(**TUNED).poll(),
    "consume-tuned": lambda: Bare(**TUNED).consume(),
    "aiokafka": lambda: asyncio.run(aiokafka()),
    "kafka-python": kafka_python,
    "faststream": lambda: faststream(batch=False),
    "faststream-batch": lambda: faststream(batch=True),
    "quix": quix,
    "faust": faust,
}

if __name__ == "__main__":
    RUN[PRODUCT]()
