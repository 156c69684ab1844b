"""RUNS IN A CHILD, in the thread that owns the client: tells each step to who asks for it, as Kafka's own tests do.

The lines are those of its verifiable consumer: startup_complete, partitions_assigned, partitions_revoked,
records_consumed, offsets_committed, shutdown_requested, shutdown_complete, and record_data when it is to be verbose.
Consumed is what was handled, one way or another, in the order of the offsets: what lies before the position, and
nothing twice.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Mapping
from typing import Any

from confluent_kafka import Message

from supervisor.core.kafka.lag import Place

EVENTS = "FORKWARDEN_KAFKA_EVENTS"  # a file or a FIFO; who sets it: `supervisor kafka verify`, and run_consumer
VERBOSE = "FORKWARDEN_KAFKA_EVENTS_VERBOSE"  # "1": every record
MOST = "FORKWARDEN_KAFKA_EVENTS_MOST"  # so many records, and no more


def called(environment: Mapping[str, str]) -> Witness:
    """Return who tells all of it, or the one who looks away."""
    path = environment.get(EVENTS)
    if not path:
        return Witness()
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    most = environment.get(MOST, "")
    return Verifiable(fd, most=int(most) if most.isdecimal() else None, verbose=environment.get(VERBOSE) == "1")


class Witness:
    """Nobody asked."""

    def started(self) -> None:
        """Before it subscribes."""

    def assigned(self, places: Collection[Place]) -> None:
        """They were added to what it has."""

    def revoked(self, places: Collection[Place]) -> None:
        """They were taken away, or lost."""

    def read(self, messages: list[Message]) -> list[Message]:
        """Return those that may be handled."""
        return messages

    def handled(self, offsets: Mapping[Place, int]) -> None:
        """All before these offsets is done."""

    def committed(self, offsets: Mapping[Place, int], error: str | None = None) -> None:
        """The broker has them, or refused them."""

    def leaving(self) -> None:
        """Somebody asked it to."""

    def closed(self) -> None:
        """It has left its group in order."""


class Verifiable(Witness):
    def __init__(self, fd: int, *, most: int | None, verbose: bool) -> None:
        self._fd, self._most, self._verbose = fd, most, verbose
        self._open: dict[Place, dict[int, Message | None]] = {}  # read and not yet behind the position
        self._read = 0
        self._last: set[str] = set()

    def started(self) -> None:
        self._say("startup_complete")

    def assigned(self, places: Collection[Place]) -> None:
        for place in places:
            self._open[place] = {}
        self._say("partitions_assigned", partitions=[_named(place) for place in sorted(places)])

    def revoked(self, places: Collection[Place]) -> None:
        for place in places:
            self._open.pop(place, None)
        self._say("partitions_revoked", partitions=[_named(place) for place in sorted(places)])

    def read(self, messages: list[Message]) -> list[Message]:
        return [message for message in messages if self._is_one(message)]

    def _is_one(self, message: Message) -> bool:
        """One that comes again after its partition was set back counts once."""
        held = self._open.get((message.topic() or "", message.partition() or 0))
        offset = message.offset() or 0
        if held is None:
            return True  # not ours any more, and dropped by all
        if offset not in held:
            if self._most is not None and self._read >= self._most:
                return False
            self._read += 1
        held[offset] = message if self._verbose else None
        return True

    def handled(self, offsets: Mapping[Place, int]) -> None:
        summaries = [found for place, offset in offsets.items() if (found := self._over(place, offset))]
        if summaries:
            count = sum(each["count"] for each in summaries)
            self._say("records_consumed", count=count, partitions=summaries)

    def _over(self, place: Place, position: int) -> dict[str, Any] | None:
        held = self._open.get(place, {})
        done = sorted(offset for offset in held if offset < position)
        for offset in done:
            if (message := held.pop(offset)) is not None:
                key, value = _text(message.key()), _text(message.value())
                self._say("record_data", key=key, value=value, **_named(place), offset=offset)
        if not done:
            return None
        return {**_named(place), "count": len(done), "minOffset": done[0], "maxOffset": done[-1]}

    def committed(self, offsets: Mapping[Place, int], error: str | None = None) -> None:
        """Of what is not ours any more the answer came too late to be told: its last commit was told before."""
        listed = [{**_named(place), "offset": at} for place, at in sorted(offsets.items()) if place in self._open]
        if listed:
            self._say("offsets_committed", offsets=listed, **({"error": error} if error else {}), success=error is None)

    def leaving(self) -> None:
        self._say_once("shutdown_requested")

    def closed(self) -> None:
        self._say_once("shutdown_complete")

    def _say_once(self, event: str) -> None:
        """The thread of a client that never connected may come to it too, when the main thread has said it."""
        if event not in self._last:
            self._last.add(event)
            self._say(event)

    def _say(self, event: str, **more: Any) -> None:
        """One write, so that lines of several members stay whole."""
        told = json.dumps({"timestamp": int(time.time() * 1000), "name": event, **more}, separators=(",", ":"))
        try:
            os.write(self._fd, told.encode() + b"\n")
        except OSError:
            pass  # nobody listens any more


def _named(place: Place) -> dict[str, Any]:
    topic, partition = place
    return {"topic": topic, "partition": partition}


def _text(raw: bytes | str | None) -> str | None:
    return raw.decode(errors="backslashreplace") if isinstance(raw, bytes) else raw
