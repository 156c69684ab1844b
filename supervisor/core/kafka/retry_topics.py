"""Retry topics: a record that failed waits in a topic of its own, so that its partition goes on at once.

`retry_topics = ["1m", "10m"]` of topic `orders` are `orders.retry.1m` and `orders.retry.10m`. The consumer reads them
itself, each record when it is due. What a record was and has been through is in its headers; handlers and dead letters
see it as it was at first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from supervisor.core import durations

Header = tuple[str, bytes | None]

OURS = "x-forkwarden-retry-"
_NUMBERS = ("partition", "offset", "timestamp", "timestamp-type", "attempts", "first-failure", "due", "stage")
_TEXTS = ("topic", "group")
_MOST = 1 << 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """Of one record on its way through the retry topics."""

    topic: str  # where it was read at first
    partition: int
    offset: int
    timestamp: int  # milliseconds since 1970, as it was; the copy has the time of its writing, which retention goes by
    timestamp_type: int
    group: str  # whose failure it was: other groups may have the same retry topics
    attempts: int
    first: int  # failure, in milliseconds since 1970
    due: int  # milliseconds since 1970
    stage: int  # 1: in the first retry topic

    def headers(self, own: Sequence[Header]) -> list[Header]:
        """Return the record's own headers, and these."""
        values: Mapping[str, int | str] = {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "timestamp": self.timestamp,
            "timestamp-type": self.timestamp_type,
            "group": self.group,
            "attempts": self.attempts,
            "first-failure": self.first,
            "due": self.due,
            "stage": self.stage,
        }
        return [*own, *((OURS + name, str(value).encode()) for name, value in values.items())]


def name(topic: str, delay: float) -> str:
    return f"{topic}.retry.{durations.text(delay)}"


def names(topics: Iterable[str], delays: Sequence[float]) -> tuple[str, ...]:
    """Return all retry topics of a consumer."""
    return tuple(name(topic, delay) for topic in topics for delay in delays)


def journey(headers: Sequence[Header]) -> Journey | None:
    """Return what the headers tell; None when somebody else has put this record into the topic."""
    if not any(each.startswith(OURS) for each, _ in headers):
        return None
    found = {each.removeprefix(OURS): value for each, value in headers if each.startswith(OURS)}
    try:
        texts = {each: (found[each] or b"").decode() for each in _TEXTS}
        numbers = {each.replace("-", "_"): _number(found[each]) for each in _NUMBERS}
    except (KeyError, ValueError):
        return None
    first = numbers.pop("first_failure")
    return Journey(**texts, **numbers, first=first)  # type: ignore[arg-type]


def own(headers: Sequence[Header]) -> list[Header]:
    """Return the headers that the record came with at first."""
    return [(each, value) for each, value in headers if not each.startswith(OURS)]


def _number(raw: bytes | None) -> int:
    if raw is None or len(raw) > 20:
        raise ValueError("no number")
    value = int(raw)
    if not -1 <= value < _MOST:
        raise ValueError("no such number")
    return value
