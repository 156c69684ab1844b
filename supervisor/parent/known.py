"""RUNS IN THE PARENT: what children have said and how their processes ended. Bounded, whatever they say."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from supervisor.core.lifecycle.exits import Cause, ExitStatus, LastExit
from supervisor.core.schedule.unwritten import ended
from supervisor.core.wire.messages import Beat
from supervisor.core.wire.page import RUNNING, Doing
from supervisor.core.words import epoch
from supervisor.logs import stamp

CURVE = 60  # heartbeats whose memory and CPU are remembered
_MOST = 1 << 60  # bytes, or seconds, that can be meant
_CLOSE = 0.01  # seconds: times are told in milliseconds
NOTICES = 50  # a second that are passed on
MAX_FACTS = 64  # keys; each value fits a frame of 4 KiB


@dataclass(slots=True)
class Known:
    """Of one child. What belongs to one process is cleared at the next start."""

    facts: dict[str, Any] = field(default_factory=dict)
    beat: Beat | None = None
    beat_at: float | None = None  # monotonic, on our side
    curve: Curve = field(default_factory=lambda: Curve())
    doing: Doing | None = None
    condemned_for: Doing | None = None  # what it did when the verdict came: once dumped and told to end it may move on
    bye: str = ""
    starts: int = 0
    notices: int = 0  # in the second that began at `notices_since`
    notices_since: float = 0.0
    last_exit: LastExit | None = None
    not_evicted: str = ""  # why the member of that process could not be put out of its Kafka group
    lived: float | None = None  # seconds, of the last process
    stacks: str = ""  # of the last process that was ended for a fault, or that crashed in C

    def born(self) -> None:
        """A new process: what it does and says is not known yet; how the last one ended stays."""
        self.beat = self.beat_at = self.doing = self.condemned_for = None
        self.bye = ""
        self.curve.clear()
        self.starts += 1
        for key in ("waiting", "note", "usage", "progress", "progress_text", "joined"):
            self.facts.pop(key, None)

    def remember(self, cause: Cause, reason: str, status: ExitStatus, *, ran: float | None, at: float) -> None:
        """Its process is reaped. The slot it started last outlives also processes that started none."""
        doing, before = self.condemned_for or self.doing, self.last_exit
        self.last_exit = LastExit(
            cause=cause.value,
            reason=reason,
            phase=doing.phase if doing else "",
            subject=doing.subject if doing else "",
            partition=doing.partition if doing else -1,
            offset=doing.offset if doing else -1,
            code=status.code,
            signal=status.signal,
            at=at,
            ran=before.ran if ran is None and before else ran,
        )

    def lose_run(self, task: str, now: float) -> None:
        """What it ran when its process ended is its last run; the next process says the same, from the ledger."""
        doing, last = self.doing, self.last_exit
        if doing is None or last is None or doing.phase != RUNNING:
            return
        began, told = last.at - (now - doing.since), self.facts.get("last_run")
        told = told if isinstance(told, Mapping) and told.get("slot") == doing.subject else {}
        if (epoch(told.get("finished")) or 0.0) >= began - _CLOSE:
            return  # its end was told
        state, error = ended("running", last.cause, last.reason)
        times = {"started": stamp(began), "finished": stamp(last.at)}
        self.facts["last_run"] = {"task": task, "slot": doing.subject, "state": state, "error": error} | times

    def heard(self, beat: Beat, now: float) -> None:
        self.beat, self.beat_at = beat, now
        self.curve.add(now, beat.rss, beat.cpu)

    def count_notice(self, now: float) -> int:
        """Return which one of its second it is."""
        if now - self.notices_since >= 1.0:
            self.notices, self.notices_since = 0, now
        self.notices += 1
        return self.notices

    def learn(self, facts: Mapping[str, Any]) -> None:
        for key, value in facts.items():
            if value is None:
                self.facts.pop(key, None)
            elif key in self.facts or len(self.facts) < MAX_FACTS:
                self.facts[key[:64]] = value


class Curve:
    """Memory and CPU at the last heartbeats, in a sixth of the room that tuples would take: there is one per child."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers = array("d")

    def add(self, at: float, rss: int, cpu: float) -> None:
        """What a child says may be no amount at all."""
        if len(self._numbers) >= 3 * CURVE:
            del self._numbers[:3]
        self._numbers.extend((at, float(rss) if 0 <= rss < _MOST else 0.0, cpu if 0 <= cpu < _MOST else 0.0))

    def clear(self) -> None:
        del self._numbers[:]

    def __iter__(self) -> Iterator[tuple[float, int, float]]:
        """Yield when, resident bytes, seconds of CPU; the oldest first."""
        numbers = iter(self._numbers)
        return ((at, int(rss), cpu) for at, rss, cpu in zip(numbers, numbers, numbers, strict=True))
