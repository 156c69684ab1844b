"""RUNS IN A CHILD: the user's handler: found, matched with what it takes, and called.

Its resources are opened for each call and closed before the call counts as done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from supervisor.child.context import Context
from supervisor.child.loader import LoadError, load
from supervisor.child.resources import Call, Resources
from supervisor.core.kafka.decode import decoder
from supervisor.core.kafka.record import Record
from supervisor.core.kafka.shape import Shape, ShapeError, shape
from supervisor.core.spec import ConsumerSettings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Handler:
    """Raises LoadError when the function cannot be found or takes no record."""

    def __init__(self, settings: ConsumerSettings) -> None:
        function = load(settings.handler)
        self.shape = _shape(function)
        self._resources = Resources(settings.resources)
        given = (self.shape.parameter, "ctx")
        self._call: Call = self._resources.bind(function, given, required=(self.shape.parameter,))
        self._decode = decoder(settings.format, self.shape.model)
        self._timeout = settings.handler_timeout
        self._loop: asyncio.Runner | None = None

    def decode(self, message: Message) -> Any:
        """Raises Undecodable."""
        return self._decode(message.value())

    def __call__(self, records: list[Record], context: Context) -> None:
        """Handle a batch, or the one record when the handler takes one; any exception comes out."""
        values = {self.shape.parameter: records if self.shape.batch else records[0], "ctx": context}
        if self._call.is_async:
            self._loop = self._loop or asyncio.Runner()
            self._loop.run(self._await(values))
            return
        with self._resources.opened(self._call.resources) as opened:
            self._call({**values, **opened})

    async def _await(self, values: Mapping[str, Any]) -> None:
        async with asyncio.timeout(self._timeout), self._resources.opened_async(self._call.resources) as opened:
            await self._call({**values, **opened})

    def close(self) -> None:
        if self._loop is not None:
            self._loop.close()


def record(message: Message, value: Any, attempt: int) -> Record:
    return Record(
        value=value,
        key=message.key(),
        headers=tuple(headers(message)),
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        timestamp=_timestamp(message),
        attempt=attempt,
    )


def headers(message: Message) -> list[tuple[str, bytes | None]]:
    """The client's types allow text, but what comes from a broker is bytes."""
    found: Any = message.headers() or []
    return [(name, value) for name, value in found]


def _timestamp(message: Message) -> datetime | None:
    """Any whole number is a legal timestamp; years that no calendar has become None."""
    kind, milliseconds = message.timestamp()
    if kind == TIMESTAMP_NOT_AVAILABLE:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


def _shape(function: Callable[..., Any]) -> Shape:
    try:
        return shape(function)
    except ShapeError as e:
        raise LoadError(str(e), permanent=True) from e
