"""RUNS IN A CHILD: records that cannot be handled, written to the dead-letter topic and acknowledged there.

Only then is the source's offset stored: whatever happens, a record is in one of the two topics.
"""

from __future__ import annotations

import logging
import os
import socket
import traceback
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from supervisor.child.kafka import errors
from supervisor.child.kafka.client_log import ClientLog
from supervisor.child.kafka.handler import headers
from supervisor.core.kafka import deadletter
from supervisor.core.kafka.settings import producer_properties
from supervisor.core.spec import ConsumerSettings

log = logging.getLogger(__name__)

DEADLINE = 10.0  # seconds for all replicas to have it


class LetterRefused(Exception):
    """It is not in the dead-letter topic: its source may not be passed."""


class DeadLetters:
    """The producer, made with the first letter. Only the main thread calls it."""

    def __init__(self, settings: ConsumerSettings, topic: str, bootstrap: Callable[[], str]) -> None:
        self._settings = settings
        self.topic = topic
        self._bootstrap = bootstrap
        self._producer: Producer | None = None

    def send(self, message: Message, error: BaseException, *, attempts: int, first: float) -> None:
        """Return when the topic has it. Raises LetterRefused."""
        failure = _failure(error, attempts, first)
        refused = self._deliver(message, failure, trace=True)
        if refused is not None and errors.too_large(refused):
            refused = self._deliver(message, failure, trace=False)
        if refused is not None:
            raise LetterRefused(f'dead-letter topic "{self.topic}": {refused.str()}')

    def _deliver(self, message: Message, failure: deadletter.Failure, *, trace: bool) -> KafkaError | None:
        answers: list[KafkaError | None] = []
        kind, milliseconds = message.timestamp()
        try:
            producer = self._producer = self._producer or self._make()
            producer.produce(
                self.topic,
                value=message.value(),
                key=message.key(),
                headers=deadletter.headers(headers(message), self._origin(message), failure, trace=trace),  # type: ignore[arg-type]
                timestamp=milliseconds if kind and milliseconds > 0 else 0,
                on_delivery=lambda error, _: answers.append(error),
            )
            producer.flush(DEADLINE + 1)
        except KafkaException as e:
            return errors.of(e)
        except BufferError:  # earlier letters are still on their way: the broker is away
            return KafkaError(KafkaError._QUEUE_FULL)
        return answers[0] if answers else KafkaError(KafkaError._TIMED_OUT, f"no answer within {DEADLINE:g} s")

    def _make(self) -> Producer:
        properties = producer_properties(
            self._settings,
            bootstrap=self._bootstrap(),
            client_id=f"{self._settings.group_id}.dead-letters@{socket.gethostname()}",
            deadline=DEADLINE,
        )
        more: dict[str, Any] = {"logger": ClientLog()}
        return Producer(properties, **more)

    def _origin(self, message: Message) -> deadletter.Origin:
        kind, milliseconds = message.timestamp()
        return deadletter.Origin(
            topic=message.topic() or "",
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            timestamp=milliseconds if kind else -1,
            timestamp_type=kind,
            group_id=self._settings.group_id,
            handler=self._settings.handler,
            host=socket.gethostname(),
            pid=os.getpid(),
        )


def _failure(error: BaseException, attempts: int, first: float) -> deadletter.Failure:
    cause = error.__cause__
    return deadletter.Failure(
        exception=_name(error),
        cause=_name(cause) if cause is not None else None,
        message=str(error),
        trace="".join(traceback.format_exception(error, limit=-20)),
        attempts=attempts,
        first=first,
    )


def _name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"
