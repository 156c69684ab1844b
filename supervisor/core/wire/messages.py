"""What a child says to the parent (messages) and what the parent asks of it (orders).

A message is checked field by field: a child that is broken or hostile can only say things of these shapes.
`generation` numbers the processes of a child, so that a late or replayed message of an earlier one is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

DUMP_SIGNAL = 37  # SIGRTMIN + 3: faulthandler in the child writes all Python stacks, also while C holds the lock
TEXT = 1500  # characters of free text in a message
ROOM = 3000  # bytes of it as JSON, where one character may take twelve: the frame must fit all the same
MAX_PARTS = 24  # of the stacks: 64 KiB with their frames, what a pipe holds


@dataclass(frozen=True, slots=True)
class Hello:
    """First frame: the fork succeeded and the boot order was run through."""

    generation: int


@dataclass(frozen=True, slots=True)
class Ready:
    """User code is loaded and the child's loop is entered; it may still wait for a dependency."""


@dataclass(frozen=True, slots=True)
class Beat:
    """Proof that the process lives. Whether it *works* is told by the black box page, not by this."""

    rss: int = 0  # bytes
    cpu: float = 0.0  # seconds used since the start
    dropped: int = 0  # frames that met a full pipe so far


@dataclass(frozen=True, slots=True)
class Facts:
    """What `status` shows of the child; merged into what is known, None removes.

    Keys: waiting (text), next_slot (epoch seconds), last_run (mapping), lag (int), partitions (list), topics,
    records (int), rate, demo (bool), note. Unknown keys pass through.
    """

    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """A run ended. Keys as in the ledger: task, slot, kind, state, attempt, duration, lateness, error."""

    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something people must hear of: a dead letter, a paused partition, lost partitions."""

    level: str  # info | warning | error
    code: str  # dead_letter, partition_paused, …: fixed words, alerts go by them
    text: str


@dataclass(frozen=True, slots=True)
class Bye:
    """The child's own last words before it exits: why."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Stacks:
    """A piece of the Python stacks that were ordered (core/wire/stacks takes them apart and together)."""

    id: str  # of the order
    part: int  # from 0
    of: int
    text: str


Message = Hello | Ready | Beat | Facts | Run | Notice | Bye | Stacks


def to_frame(message: Message) -> dict[str, Any]:
    match message:
        case Hello(generation):
            return {"t": "hello", "generation": generation}
        case Ready():
            return {"t": "ready"}
        case Beat(rss, cpu, dropped):
            return {"t": "beat", "rss": rss, "cpu": cpu, "dropped": dropped}
        case Facts(facts):
            return {"t": "facts", "facts": dict(facts)}
        case Run(result):
            return {"t": "run", "result": dict(result)}
        case Notice(level, code, text):
            return {"t": "notice", "level": level, "code": code, "text": _fit(text)}
        case Bye(code, reason):
            return {"t": "bye", "code": code, "reason": _fit(reason)}
        case Stacks(id, part, of, text):
            return {"t": "stacks", "id": id, "part": part, "of": of, "text": text}
        case _:
            assert_never(message)


def _fit(text: str) -> str:
    text = text[:TEXT]
    while len(json.dumps(text)) > ROOM:
        text = text[: len(text) * 3 // 4]
    return text


def from_frame(frame: Mapping[str, Any]) -> Message | None:
    """Return the message, or None when the frame is not of a known shape."""
    kind = frame.get("t")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    try:
        return reader(frame) if reader else None
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _hello(f: Mapping[str, Any]) -> Message:
    return Hello(int(f["generation"]))


def _beat(f: Mapping[str, Any]) -> Message:
    return Beat(int(f["rss"]), float(f["cpu"]), int(f["dropped"]))


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _notice(f: Mapping[str, Any]) -> Message:
    level = f["level"] if f["level"] in ("info", "warning", "error") else "info"
    return Notice(level, str(f["code"])[:64], str(f["text"])[:TEXT])


def _stacks(f: Mapping[str, Any]) -> Message:
    part, of = int(f["part"]), int(f["of"])
    if not 0 <= part < of <= MAX_PARTS:
        raise ValueError
    return Stacks(str(f["id"])[:64], part, of, str(f["text"])[:ROOM])


_READERS: dict[str, Callable[[Mapping[str, Any]], Message]] = {
    "hello": _hello,
    "ready": lambda f: Ready(),
    "beat": _beat,
    "facts": lambda f: Facts(_mapping(f["facts"])),
    "run": lambda f: Run(_mapping(f["result"])),
    "notice": _notice,
    "bye": lambda f: Bye(int(f["code"]), str(f["reason"])[:TEXT]),
    "stacks": _stacks,
}


@dataclass(frozen=True, slots=True)
class Order:
    """Parent to child, `args` are the verb's own.

    `verb`: drain, run, pause, resume, hold, poison, topic, stack, usage, chaos.
    """

    verb: str
    args: Mapping[str, Any]


def order_to_frame(order: Order) -> dict[str, Any]:
    return {"o": order.verb, **order.args}


def order_from_frame(frame: Mapping[str, Any]) -> Order:
    args = {key: value for key, value in frame.items() if key != "o"}
    return Order(str(frame.get("o", "")), args)
