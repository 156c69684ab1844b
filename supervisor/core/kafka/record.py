"""What a handler receives. No type of a client library: a test makes one from plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic

if TYPE_CHECKING:  # defaults of type variables are in typing from 3.13 on; a checker always has the backport
    from typing_extensions import TypeVar

    V = TypeVar("V", default=Any)
else:
    from typing import TypeVar

    V = TypeVar("V")


class _Filled:
    """What a handler never asks for is never made: most look at the value only, and there are a million of them."""

    __slots__ = ("_source",)  # (a function that sets all fields of a record but the value, what it needs for that)


def _made(self: Any, name: str) -> Any:
    if name == "_source" or name not in self.__dataclass_fields__:
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
    fill, *given = self._source
    fill(self, *given)
    return getattr(self, name)


setattr(_Filled, "__getattr__", _made)  # noqa: B010  to a type checker every misspelt attribute would be one


@dataclass(frozen=True, slots=True)
class Record(_Filled, Generic[V]):
    """One record of a topic. `Record[Event]` has its value validated by the class Event."""

    value: V
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()  # names may repeat
    topic: str = ""
    partition: int = 0
    offset: int = 0
    timestamp: datetime | None = None  # UTC
    attempt: int = 1  # 1 the first time that this process hands it over

    @property
    def id(self) -> str:
        """The same for every delivery of this record: a key for upserts."""
        return f"{self.topic}:{self.partition}:{self.offset}"

    def header(self, name: str) -> bytes | None:
        """Return the last value under that name, None when there is none."""
        return next((value for key, value in reversed(self.headers) if key == name), None)


_set_value: Callable[[Any, Any], None] = Record.__dict__["value"].__set__
_set_source: Callable[[Any, Any], None] = _Filled.__dict__["_source"].__set__


def delivered(value: Any, source: tuple[Any, ...]) -> Record:
    """Return a record whose other fields are set when one of them is asked for: see `_Filled`."""
    made: Record = object.__new__(Record)
    _set_value(made, value)
    _set_source(made, source)
    return made
