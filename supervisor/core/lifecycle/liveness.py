"""What is asked of a running process: does it live (heartbeats), does it work (its phase's budget), is it too big?"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from supervisor.core.lifecycle.events import Pulse
from supervisor.core.lifecycle.exits import Cause
from supervisor.core.spec import Policy
from supervisor.core.wire.page import RUNNING, Doing


@dataclass(slots=True)
class Liveness:
    """What is known of one process. A new process has a new one."""

    beat_at: float
    ready_at: float = -inf  # what the process did before does not count against it
    doing: Doing | None = None
    rss: int = 0
    gaps: list[tuple[float, float]] = field(default_factory=list)  # from, to: the supervisor itself was frozen

    def heard(self, pulse: Pulse) -> None:
        """Looks may come twice or out of order; the newest counts."""
        if pulse.beat_at is not None:
            self.beat_at = max(self.beat_at, pulse.beat_at)
            self.rss = pulse.rss
        if pulse.doing is not None and (self.doing is None or pulse.doing.count >= self.doing.count):
            self.doing = pulse.doing
        if self.gaps:
            oldest = min(self.beat_at, self.doing.since) if self.doing else self.beat_at
            self.gaps = [gap for gap in self.gaps if gap[1] > oldest]

    def shift(self, gap: float, now: float) -> None:
        self.gaps.append((now - gap, now))

    def frozen_since(self, moment: float) -> float:
        """Return the seconds after `moment` for which nobody can be judged."""
        if not self.gaps:  # nearly always, and asked several times a second of every child
            return 0.0
        return sum(end - max(start, moment) for start, end in self.gaps if end > moment)

    def exceeds(self, limit: int | None) -> bool:
        return limit is not None and self.rss > limit

    def too_big(self, limit: int | None, word: str) -> str:
        return f"memory {self.rss >> 20} MiB, over its {word} of {(limit or 0) >> 20} MiB"

    def hung_at(self, policy: Policy) -> float:
        return self.beat_at + policy.heartbeat_timeout + self.frozen_since(self.beat_at)

    def stuck_at(self) -> float | None:
        if self.doing is None or self.doing.budget is None:
            return None
        since = max(self.doing.since, self.ready_at)
        return since + self.doing.budget + self.frozen_since(since)

    def deadline(self, policy: Policy) -> float:
        stuck = self.stuck_at()
        return self.hung_at(policy) if stuck is None else min(stuck, self.hung_at(policy))

    def verdict(self, policy: Policy, now: float) -> tuple[Cause, str] | None:
        """Return what is wrong with the process, if anything is, and say it in words."""
        if self.exceeds(policy.max_rss_hard):
            return Cause.MEMORY_HARD, self.too_big(policy.max_rss_hard, "hard limit")
        if now >= self.hung_at(policy):
            return Cause.HUNG, f"no heartbeat for {now - self.beat_at:.0f} s"
        stuck = self.stuck_at()
        if stuck is None or now < stuck or self.doing is None:
            return None
        cause, word = (Cause.TIMED_OUT, "timed out") if self.doing.phase == RUNNING else (Cause.STUCK, "no progress")
        what = f"{self.doing.phase} {self.doing.subject}".strip()
        return cause, f"{word}: {what} for {now - self.doing.since:.0f} s, {self.doing.budget:g} s allowed"
