"""RUNS IN A CHILD, in any thread that handles records: what goes out to Kafka, and the proof that it arrived.

Dead letters, retry topics and `ctx.produce` share one producer. Nothing that was produced counts before all replicas
have it; so each call waits for its own.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from supervisor.child.kafka import errors
from supervisor.child.kafka.client_log import ClientLog
from supervisor.core.kafka.deadletter import Header
from supervisor.core.kafka.decode import encode
from supervisor.core.kafka.settings import producer_properties
from supervisor.core.spec import ConsumerSettings

DEADLINE = 10.0  # seconds for all replicas to have it
SLICE = 0.05  # seconds in one poll: who waits in another thread gets its turn


class Sent:
    """One record on its way."""

    __slots__ = ("error", "known", "topic")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.known = False  # whether it arrived
        self.error: KafkaError | None = None

    def answer(self, error: KafkaError | None) -> None:
        self.error, self.known = error, True


class Producing:
    """The producer, made when it is first needed."""

    def __init__(self, settings: ConsumerSettings, bootstrap: Callable[[], str]) -> None:
        self._settings, self._bootstrap = settings, bootstrap
        self._lock = threading.Lock()
        self._made: Producer | None = None

    def send(
        self, topic: str, value: bytes | None, key: bytes | None, headers: Sequence[Header], timestamp: int = 0
    ) -> Sent:
        """Begin to send. That it cannot even begin is an answer too."""
        sent = Sent(topic)
        end = time.monotonic() + DEADLINE
        try:
            while not self._begin(sent, value, key, headers, timestamp):
                if time.monotonic() > end:  # earlier ones are still on their way: the broker is away
                    sent.answer(KafkaError(KafkaError._QUEUE_FULL))
                    break
        except KafkaException as e:
            sent.answer(self._failed(errors.of(e)))
        return sent

    def _failed(self, error: KafkaError) -> KafkaError:
        """An idempotent producer that was refused once sends nothing ever after; the next record makes another."""
        if error.fatal() or error.code() == KafkaError._FATAL:
            with self._lock:
                self._made = None  # not polled any more: that would raise what was fatal
        return error

    def _begin(
        self, sent: Sent, value: bytes | None, key: bytes | None, headers: Sequence[Header], timestamp: int
    ) -> bool:
        producer = self._producer()
        more: dict[str, Any] = {"timestamp": timestamp} if timestamp > 0 else {}
        try:
            producer.produce(
                sent.topic,
                value=value,
                key=key,
                headers=list(headers),
                on_delivery=lambda error, _: sent.answer(error),
                **more,
            )
        except BufferError:
            producer.poll(SLICE)
            return False
        producer.poll(0)
        return True

    def wait(self, sent: Sequence[Sent]) -> KafkaError | None:
        """Return None when all have arrived, or the first reason why one has not."""
        end = time.monotonic() + DEADLINE + 1.0  # the producer's own deadline comes first, with a better reason
        waiting = [each for each in sent if not each.known]
        while waiting and time.monotonic() < end:
            try:
                self._producer().poll(SLICE)
            except KafkaException as e:
                return self._failed(errors.of(e))
            waiting = [each for each in waiting if not each.known]
        if waiting:
            return KafkaError(KafkaError._TIMED_OUT, f"no answer within {DEADLINE:g} s")
        return next((each.error for each in sent if each.error is not None), None)

    def _producer(self) -> Producer:
        with self._lock:
            if self._made is None:
                properties = producer_properties(
                    self._settings,
                    bootstrap=self._bootstrap(),
                    client_id=f"{self._settings.group_id}.out@{socket.gethostname()}",
                    deadline=DEADLINE,
                )
                more: dict[str, Any] = {"logger": ClientLog()}
                self._made = Producer(properties, **more)
            return self._made


class NotProduced(Exception):
    """What the handler gave to `ctx.produce` did not arrive: its record is not done."""


class Outgoing:
    """What one call of the handler produces."""

    def __init__(self, producing: Producing) -> None:
        self._producing = producing
        self._sent: list[Sent] = []

    def produce(self, topic: str, value: Any, *, key: str | bytes | None = None, headers: Any = ()) -> None:
        """See ConsumerContext.produce."""
        named = headers.items() if hasattr(headers, "items") else headers
        listed = [(str(name), _bytes(each)) for name, each in named]
        self._sent.append(self._producing.send(topic, encode(value), _bytes(key), listed))

    def __bool__(self) -> bool:
        return bool(self._sent)

    def wait(self) -> None:
        """Raises NotProduced."""
        if self._sent and (error := self._producing.wait(self._sent)) is not None:
            topics = ", ".join(sorted({each.topic for each in self._sent if each.error or not each.known}))
            raise NotProduced(f'to topic "{topics}": {error.str()}')


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
