"""RUNS IN A CHILD: records that cannot be handled, written to the dead-letter topic and acknowledged there.

Only then is the source's offset stored: whatever happens, a record is in one of the two topics.
"""

from __future__ import annotations

import os
import socket
import traceback

from confluent_kafka import KafkaError, Message

from supervisor.child.kafka import errors
from supervisor.child.kafka.handler import headers
from supervisor.child.kafka.outgoing import Producing
from supervisor.core.kafka import deadletter
from supervisor.core.spec import ConsumerSettings


class LetterRefused(Exception):
    """It is not in the dead-letter topic: its source may not be passed."""


class DeadLetters:
    """Only the main thread calls it."""

    def __init__(self, settings: ConsumerSettings, topic: str, producing: Producing) -> None:
        self._settings = settings
        self.topic = topic
        self._producing = producing

    def send(self, message: Message, error: BaseException, *, attempts: int, first: float) -> None:
        """Return when the topic has it. Raises LetterRefused."""
        failure = _failure(error, attempts, first)
        refused = self._deliver(message, failure, trace=True)
        if refused is not None and errors.too_large(refused):
            refused = self._deliver(message, failure, trace=False)
        if refused is not None:
            raise LetterRefused(f'dead-letter topic "{self.topic}": {refused.str()}')

    def _deliver(self, message: Message, failure: deadletter.Failure, *, trace: bool) -> KafkaError | None:
        kind, milliseconds = message.timestamp()
        named = deadletter.headers(headers(message), self._origin(message), failure, trace=trace)
        sent = self._producing.send(
            self.topic, message.value(), message.key(), named, timestamp=milliseconds if kind else 0
        )
        return self._producing.wait([sent])

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
