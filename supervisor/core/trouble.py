"""PURE: how long one child is not as it should be, and when it is again.

Overdue is what was to happen and did not: a child that is wanted and for minutes not ready, a task of which no run
ended well in the time that its `expect_within` gives. It needs no failure to be noticed, only the absence of success.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from supervisor.core.alerts import RECOVERED
from supervisor.core.spec import AlertKind
from supervisor.core.words import short

# What a state of things stands for; a dead letter, or a consumer that is replaced because
# it does not advance, is an event, from which nothing recovers.
STATES: frozenset[AlertKind] = frozenset(
    ("fatal", "crash_loop", "overdue", "partition_paused", "task_paused", "unkillable")
)
SETTLED = 5.0  # seconds well without a break: what a child says of itself may come a moment after its notice
TRIED = 30.0  # and a paused partition is not paused while its record is tried again
Found = tuple[AlertKind, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look at a child."""

    wanted: bool
    ready: bool  # running, and waiting for nothing
    coming: bool  # on the way to ready: starting, in backoff, waiting for what it depends on
    well: bool  # ready, its failures forgotten, nothing of it paused
    told: bool  # given up, or in a crash loop: there was an alert of its own
    why: str  # it is not ready
    next_slot: float | None = None  # epoch seconds


@dataclass(slots=True)
class Trouble:
    """Of one child. `now` is monotonic, `wall` epoch seconds."""

    open: dict[AlertKind, float] = field(default_factory=dict)  # alerts raised whose end was not told; since when
    _well: float | None = None  # since when, no alert in between
    _unready: float | None = None  # since when
    _awaited: float | None = None  # the slot of which, or of a later one, no run has ended well yet
    _satisfied: float = float("-inf")  # slots up to here

    @property
    def awaited(self) -> float | None:
        """The slot of which, or of a later one, no run has ended well yet."""
        return self._awaited

    def raised(self, kind: AlertKind, now: float) -> None:
        """An alert was raised for this child."""
        if kind in STATES:
            self.open.setdefault(kind, now)
            self._well = None

    def ran_well(self, slot: float) -> None:
        """A run of this slot ended ok."""
        self._satisfied = max(self._satisfied, slot)
        if self._awaited is not None and self._awaited <= self._satisfied:
            self._awaited = None

    def shift(self, gap: float, wall: float) -> None:
        """The supervisor was frozen for `gap` seconds: nobody is late for that time."""
        self._unready = None if self._unready is None else self._unready + gap
        self._satisfied, self._awaited = max(self._satisfied, wall), None

    def look(self, seen: Seen, now: float, wall: float, *, after: float, within: float | None) -> list[Found]:
        """Return what is to be told now. `after`, `within`: seconds until not ready, until a run not ok, is overdue."""
        if not seen.wanted:
            self.open.clear()
            self._unready = self._awaited = self._well = None
            return []
        self._remember(seen, now)
        found = [] if "overdue" in self.open else list(self._overdue(seen, now, wall, after, within))[:1]
        if not found and self._is_over(now, wall, within):
            found = [(RECOVERED, self._recovery(now))]
            self.open.clear()
        return found

    def _remember(self, seen: Seen, now: float) -> None:
        if not seen.well:
            self._well = None
        elif self._well is None:
            self._well = now
        if seen.ready:
            self._unready = None
        elif seen.coming and self._unready is None:
            self._unready = now
        if self._awaited is None and seen.next_slot is not None and seen.next_slot > self._satisfied:
            self._awaited = seen.next_slot

    def _overdue(self, seen: Seen, now: float, wall: float, after: float, within: float | None) -> Iterator[Found]:
        if self._unready is not None and seen.coming and not seen.told and now - self._unready >= after:
            yield "overdue", f"not ready for {short(now - self._unready)}: {seen.why or 'no reason is known'}"
        if (late := self._late(wall, within)) is not None:
            yield "overdue", f"no run has ended well since the slot that was due {short(late)} ago"

    def _late(self, wall: float, within: float | None) -> float | None:
        if within is None or self._awaited is None or wall < self._awaited + within:
            return None
        return wall - self._awaited

    def _is_over(self, now: float, wall: float, within: float | None) -> bool:
        if not self.open or self._well is None or self._late(wall, within) is not None:
            return False
        return now - self._well >= (TRIED if "partition_paused" in self.open else SETTLED)

    def _recovery(self, now: float) -> str:
        return f"well again after {short(now - min(self.open.values()))} ({', '.join(sorted(self.open))})".replace(
            "_", " "
        )
