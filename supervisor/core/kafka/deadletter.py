"""What is written beside a dead letter: why it is there and where it came from.

Key, value, headers and timestamp of the record stay byte for byte. The names and the binary form of the first
headers are those of Spring Kafka's DeadLetterPublishingRecoverer (KafkaHeaders.java), so that tools which read
Java's dead letters read these too; what Spring has no name for is text under `x-forkwarden-`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

Header = tuple[str, bytes | None]

TRACE_BYTES = 4096
MESSAGE_BYTES = 1024  # an exception's text may quote the whole value
SPRING = "kafka_dlt-"
OURS = "x-forkwarden-"
_TIMESTAMP_TYPES = {1: b"CreateTime", 2: b"LogAppendTime"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the record was read and by whom."""

    topic: str
    partition: int
    offset: int
    timestamp: int  # milliseconds since 1970, -1 when the record has none
    timestamp_type: int  # librdkafka's: 0 none, 1 create time, 2 log append time
    group_id: str
    handler: str
    host: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why it could not be handled."""

    exception: str  # "module.Class"
    cause: str | None  # of the exception it was raised from
    message: str
    trace: str
    attempts: int
    first: float  # epoch seconds of the first failure


def headers(existing: Sequence[Header], origin: Origin, failure: Failure, *, trace: bool = True) -> list[Header]:
    """Return the headers of the dead letter: the record's own, then ours.

    A letter that comes back keeps what its first journey added: the newest value of a name stands last.
    """
    return [*existing, *_spring(origin, failure, trace=trace), *_ours(origin, failure)]


def _spring(origin: Origin, failure: Failure, *, trace: bool) -> list[Header]:
    found: list[Header] = [
        (f"{SPRING}exception-fqcn", failure.exception.encode()),
        (f"{SPRING}exception-message", clip(failure.message, MESSAGE_BYTES)),
        (f"{SPRING}original-topic", origin.topic.encode()),
        (f"{SPRING}original-partition", struct.pack("!i", origin.partition)),
        (f"{SPRING}original-offset", struct.pack("!q", origin.offset)),
        (f"{SPRING}original-timestamp", struct.pack("!q", origin.timestamp)),
        (f"{SPRING}original-timestamp-type", _TIMESTAMP_TYPES.get(origin.timestamp_type, b"NoTimestampType")),
        (f"{SPRING}original-consumer-group", origin.group_id.encode()),
    ]
    if failure.cause:
        found.append((f"{SPRING}exception-cause-fqcn", failure.cause.encode()))
    if trace:
        found.append((f"{SPRING}exception-stacktrace", clip(failure.trace, TRACE_BYTES, keep_end=True)))
    return found


def _ours(origin: Origin, failure: Failure) -> list[Header]:
    first = datetime.fromtimestamp(failure.first, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    texts = {
        "source": f"{origin.topic}:{origin.partition}:{origin.offset}",
        "attempts": str(failure.attempts),
        "first-failure": first,
        "handler": origin.handler,
        "host": origin.host,
        "pid": str(origin.pid),
    }
    return [(OURS + name, text.encode()) for name, text in texts.items()]


def clip(text: str, most: int, *, keep_end: bool = False) -> bytes:
    """Return at most `most` bytes of UTF-8, no character cut in two. A stack trace says most at its end."""
    raw = text.encode(errors="replace")
    if len(raw) <= most:
        return raw
    part = raw[len(raw) - most :] if keep_end else raw[:most]
    return part.decode(errors="ignore").encode()
