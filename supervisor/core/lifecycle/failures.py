"""The memory of a child's failures: how many in a row, how many lately, and how long to wait for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from supervisor.core.lifecycle.backoff import delay
from supervisor.core.lifecycle.exits import Cause
from supervisor.core.spec import Policy

LEAST_WAIT = 0.05  # backoff may be configured away; a fork that fails at once must not spin the supervisor


@dataclass(slots=True)
class Failures:
    in_row: int = 0  # counted ones since the child was last stable
    uncounted: int = 0  # forks refused, dependencies away, memory over its limit: in a row
    total: int = 0  # counted ones ever
    same: int = 0  # with the same reason in a row
    reason: str = ""
    first_at: float = 0.0  # of the present row
    recent: list[float] = field(default_factory=list)  # those within the crash-loop window
    looping: bool = False

    @property
    def any(self) -> bool:
        return bool(self.in_row or self.uncounted)

    def add(self, cause: Cause, reason: str, policy: Policy, now: float) -> bool:
        """Remember a failure. True when it makes a crash loop of what was none."""
        self.same = self.same + 1 if reason == self.reason else 1
        self.reason = reason
        if not cause.counted:
            self.uncounted += 1
            return False
        if not self.in_row:
            self.first_at = now
        self.in_row += 1
        self.total += 1
        self.recent = [*(at for at in self.recent if at > now - policy.crash_loop_window), now]
        before, self.looping = self.looping, len(self.recent) >= policy.crash_loop_count
        return self.looping and not before

    def wait(self, cause: Cause, policy: Policy, draw: float) -> float:
        """Return seconds until the next start. A refused fork or an absent dependency is never tried again at once."""
        count = self.in_row if cause.counted else self.uncounted
        refused = cause in (Cause.NOT_FORKED, Cause.UNAVAILABLE)
        wait = delay(
            count + refused, base=policy.backoff_base, cap=policy.backoff_max, jitter=policy.backoff_jitter, draw=draw
        )
        return max(wait, LEAST_WAIT) if refused else wait

    def forget(self) -> None:
        """The child was stable, or an operator took it in hand."""
        self.in_row = self.uncounted = self.same = 0
        self.reason = ""
        self.recent.clear()
        self.looping = False
