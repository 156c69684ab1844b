"""RUNS IN A CHILD: the user's handler: found, matched with what it takes, and called.

Its resources are opened for each call and closed before the call counts as done.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from supervisor.child.context import Context
from supervisor.child.loader import LoadError, load
from supervisor.child.resources import Call, Resources
from supervisor.core.kafka.decode import Decoder, decoder
from supervisor.core.kafka.record import Record, delivered
from supervisor.core.kafka.shape import Shape, ShapeError, shape
from supervisor.core.spec import SCHEMAS, ConsumerSettings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Handler:
    """Raises LoadError when the function cannot be found or takes no record."""

    def __init__(self, settings: ConsumerSettings) -> None:
        function = load(settings.handler)
        self.shape = _shape(function)
        self._resources = Resources(settings.resources)
        given = (self.shape.parameter, "ctx")
        self._call: Call = self._resources.bind(function, given, required=(self.shape.parameter,))
        self._decode = _decoder(settings, self.shape.model)
        self._timeout = settings.handler_timeout
        self._loop: asyncio.Runner | None = None

    def decode(self, message: Message) -> Any:
        """Raises Undecodable, or DependencyAway when a schema cannot be asked for."""
        return self._decode(message.value())

    def takes(self, resource: str) -> bool:
        return resource in self._call.resources

    @contextmanager
    def opened(self, resource: str) -> Iterator[Any]:
        """One of its resources, for ourselves."""
        with self._resources.opened([resource]) as opened:
            yield opened[resource]

    @property
    def straight(self) -> Callable[[Any], Any] | None:
        """Return the function itself when it takes its record or batch, and nothing else, and is not async."""
        call = self._call
        if call.is_async or call.resources or call.given != (self.shape.parameter,):
            return None
        first = next(iter(inspect.signature(call.function).parameters.values()))
        by_position = first.name == self.shape.parameter and first.kind is first.POSITIONAL_OR_KEYWORD
        return call.function if by_position else None

    @property
    def takes_context(self) -> bool:
        return "ctx" in self._call.given

    @property
    def is_async(self) -> bool:
        return self._call.is_async

    def __call__(self, records: list[Record], context: Context) -> Any:
        """Handle a batch, or the one record when the handler takes one; any exception comes out."""
        if self._call.is_async:
            self._loop = self._loop or asyncio.Runner()
            return self._loop.run(self.awaited(records, context))
        if not self._call.resources:
            return self._call(self._values(records, context))
        with self._resources.opened(self._call.resources) as opened:
            return self._call({**self._values(records, context), **opened})

    async def awaited(self, records: list[Record], context: Context) -> Any:
        """As calling it, in the event loop of the caller."""
        async with asyncio.timeout(self._timeout), self._resources.opened_async(self._call.resources) as opened:
            return await self._call({**self._values(records, context), **opened})

    def _values(self, records: list[Record], context: Context) -> dict[str, Any]:
        return {self.shape.parameter: records if self.shape.batch else records[0], "ctx": context}

    def close(self) -> None:
        if self._loop is not None:
            self._loop.close()


def record(message: Message, value: Any, attempt: int) -> Record:
    return delivered(value, (_fill, message, attempt))


def _fill(made: Record, message: Message, attempt: int) -> None:
    put = object.__setattr__  # it is frozen for everybody else
    put(made, "key", message.key())
    put(made, "headers", tuple(headers(message)))
    put(made, "topic", message.topic() or "")
    put(made, "partition", message.partition() or 0)
    put(made, "offset", message.offset() or 0)
    put(made, "timestamp", _timestamp(message))
    put(made, "attempt", attempt)


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


def _decoder(settings: ConsumerSettings, model: Any) -> Decoder:
    if settings.format in SCHEMAS:
        from supervisor.child.kafka import schemas  # others do without its libraries

        return schemas.decoder(settings, model, settings.handler)
    return decoder(settings.format, model)


def _shape(function: Callable[..., Any]) -> Shape:
    try:
        return shape(function)
    except ShapeError as e:
        raise LoadError(str(e), permanent=True) from e
