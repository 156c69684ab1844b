"""Which partition stands still though there is something to read of it.

From looks at all partitions, each with the broker's own answer where they end: the client knows the end only from
fetching, which may be what has stopped. Time counts only between two looks that both found it so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from supervisor.core.kafka.lag import Place
from supervisor.core.words import short

PHASE = "standing still"  # on the page of a process that ends for this
LOOKS = 4  # within the time after which it is said
FROZEN = 2.0  # times the usual wait between two looks: longer this process stood still itself
PATIENCE = 10  # times as long, when its process was replaced for just that before


@dataclass(frozen=True, slots=True)
class Look:
    """At one partition; None: not known."""

    position: int | None  # of the first record that is not handled
    end: int | None  # behind the last record that may be read, as the broker says
    fetched: int | None = None  # what the client asks for next
    delivered: int | None = None  # what the client gives out next
    queued: int = 0  # records that the client has for us, of all partitions
    room: int = 1  # of these; with more the client fetches nothing
    excused: bool = False  # paused, or records of it are being handled


def stands(look: Look, *, flows: bool) -> bool:
    """Return whether it might go on and does not. `flows`: records are handled meanwhile, of whatever partition."""
    if look.excused or look.position is None or look.end is None or look.position >= look.end:
        return False
    fetched = look.position if look.fetched is None else look.fetched
    if fetched >= look.end and not look.queued:
        return False  # nothing lies between but what is none of ours: compacted, aborted, marks of transactions
    delivered = look.position if look.delivered is None else look.delivered
    in_line = look.queued > 0 and (fetched > delivered or 2 * look.queued >= look.room)
    return not (in_line and flows)


@dataclass(frozen=True, slots=True)
class Stall:
    place: Place
    position: int
    end: int
    seconds: float  # for which it was seen to stand

    def words(self) -> str:
        topic, partition = self.place
        behind = f"though the broker has {self.end - self.position} offsets more, up to {self.end}"
        return f"{topic}[{partition}] has stood at {self.position} for {short(self.seconds)}, {behind}"


class Standstills:
    def __init__(self, after: float) -> None:
        """`after`: seconds."""
        self._after, self.every = after, after / LOOKS
        self._standing: dict[Place, tuple[int, float]] = {}  # at which position, for how long
        self._last: float | None = None

    def look(self, looks: Mapping[Place, Look], now: float, *, flows: bool) -> list[Stall]:
        """Return those that have stood for too long."""
        passed = 0.0 if self._last is None else min(now - self._last, FROZEN * self.every)
        self._last = now
        before, self._standing = self._standing, {}
        for place, look in looks.items():
            if look.position is not None and stands(look, flows=flows):
                position, seconds = before.get(place, (None, 0.0))
                self._standing[place] = look.position, seconds + passed if position == look.position else 0.0
        return [
            Stall(place, position, looks[place].end or 0, seconds)
            for place, (position, seconds) in self._standing.items()
            if seconds >= self._after
        ]
