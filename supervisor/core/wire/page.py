"""The black box: one page of memory that a child writes and the parent reads, also after SIGKILL.

It holds what the main thread is doing and since when, so the parent can tell a child that works from one
whose second thread merely goes on beating. A write is one `pack_into`, under a microsecond.
The counter stands at both ends: when the two differ, the reader met a write half done.
The last slot that was started has two places in turn: half a write spoils only that of a slot that did not start yet.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

SIZE = 4096
RUNNING = "running"  # the phase of a task's run; its budget is what the run's timeout leaves of it
PHASE_BYTES = 16
SUBJECT_BYTES = 160
MEMBER_BYTES = 254
HEAD = struct.Struct(f"<Qdd{PHASE_BYTES}siq{SUBJECT_BYTES}sQ")
_COUNT = struct.Struct("<Q")
_MEMBER_AT = 1024
_MEMBER = struct.Struct(f"<H{MEMBER_BYTES}s")
_RAN_AT = 2048
_RAN = struct.Struct("<QdQ")


@dataclass(frozen=True, slots=True)
class Doing:
    """What the main thread does: since `since` (monotonic seconds), for at most `budget` seconds (None: no end)."""

    count: int
    phase: str
    since: float
    budget: float | None
    subject: str = ""  # a run's slot, or a topic
    partition: int = -1
    offset: int = -1


def write(
    page: memoryview,
    count: int,
    phase: bytes,
    since: float,
    budget: float = math.inf,
    subject: bytes = b"",
    partition: int = -1,
    offset: int = -1,
) -> None:
    HEAD.pack_into(page, 0, count, since, budget, phase, partition, offset, subject, count)


def write_member(page: memoryview, member: str) -> None:
    """The Kafka member id: what eviction needs when nobody is left to ask."""
    raw = member.encode()[:MEMBER_BYTES]
    _MEMBER.pack_into(page, _MEMBER_AT, len(raw), raw)


def write_ran(page: memoryview, count: int, slot: float) -> None:
    """The slot of the schedule that starts now: all that is left of it where no record could be written."""
    _RAN.pack_into(page, _RAN_AT + count % 2 * _RAN.size, count, slot, count)


def read(page: memoryview | bytes) -> Doing | None:
    """Return what the page says, or None when nothing was written yet or a write is half done."""
    count, since, budget, phase, partition, offset, subject, again = HEAD.unpack_from(page, 0)
    if not count or count != again or math.isnan(since) or math.isnan(budget):
        return None
    return Doing(
        count,
        _text(phase),
        since,
        budget if math.isfinite(budget) else None,
        _text(subject),
        partition,
        offset,
    )


def count(page: memoryview | bytes) -> int:
    """Return how often it was written: a cheap way to see that there is nothing new."""
    return int(_COUNT.unpack_from(page, 0)[0])


def read_member(page: memoryview | bytes) -> str:
    length, raw = _MEMBER.unpack_from(page, _MEMBER_AT)
    return bytes(raw[: min(length, MEMBER_BYTES)]).decode(errors="replace")


def read_ran(page: memoryview | bytes) -> float | None:
    """Return the last slot of the schedule that was started, or None when there was none."""
    cells = [_RAN.unpack_from(page, _RAN_AT + at * _RAN.size) for at in (0, 1)]
    whole = [(count, slot) for count, slot, again in cells if count and count == again and math.isfinite(slot)]
    return max(whole)[1] if whole else None


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode(errors="replace")
