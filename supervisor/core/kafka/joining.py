"""A member that subscribed and gets no answer of its group: how long that may be, and what holds it up."""

from __future__ import annotations

from dataclasses import dataclass

from supervisor.core.words import short

PHASE = "not joined"  # on the page of a process that ends for this
EXPLAINED = 4  # the share of the time after which it is said what holds it up
FROZEN = 2.0  # seconds between two looks that count; more than that this process stood still itself


def holds_up(state: str, join_state: str) -> str:
    """Return what is likely, by the states of the client's group; "" when nothing can be said."""
    if state != "up":
        return "its coordinator is not there: look at the brokers, and whether __consumer_offsets has leaders"
    if join_state.startswith("wait"):
        return "another member holds the rebalance up: a slow one may, for as long as its max.poll.interval.ms"
    return ""


@dataclass(slots=True)
class Joining:
    """Seconds without an answer."""

    after: float
    seconds: float = 0.0
    told: bool = False
    _last: float | None = None

    def look(self, now: float, *, waits: bool) -> bool:
        """Return whether it is too long by now. `waits`: no answer has come, and no broker is away."""
        passed = 0.0 if self._last is None else min(now - self._last, FROZEN)
        self._last = now
        self.seconds = self.seconds + passed if waits else 0.0
        return self.seconds >= self.after

    def words(self, group: str, state: str, join_state: str) -> str:
        """Return what it waits for."""
        text = f'its partitions from group "{group}"'
        if self.seconds < self.after / EXPLAINED:
            return text
        why = holds_up(state, join_state)
        step = self.after / EXPLAINED  # so that not every second is news
        return f"{text} for more than {short(self.seconds // step * step)}" + (f"; {why}" if why else "")
