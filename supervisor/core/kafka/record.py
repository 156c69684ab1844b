"""What a handler receives. No type of a client library: a test makes one from plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic

if TYPE_CHECKING:  # defaults of type variables are in typing from 3.13 on; a checker always has the backport
    from typing_extensions import TypeVar

    V = TypeVar("V", default=Any)
else:
    from typing import TypeVar

    V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Record(Generic[V]):
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
