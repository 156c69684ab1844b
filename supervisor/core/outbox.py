"""PURE: the alerts for one target: what is sent next and when, and what becomes of those that cannot be sent.

One at a time, in order; a failed one is tried again, with a wait that doubles, for an hour. One line when a target
begins to fail and one when it works again, not one for each alert.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from supervisor.core.alerts import Alert

MOST = 100  # alerts that wait; more than that nobody reads
GIVE_UP_AFTER = 3600.0
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Entry:
    alert: Alert
    until: float  # then it is given up, monotonic


class Outbox:
    """`to` is the target as people may see it. Each call that has something to say returns (level, text)."""

    def __init__(self, to: str, entries: Iterable[Entry] = ()) -> None:
        self.to = to
        self.lost = 0  # alerts given up since the target last worked
        self._queue = deque(entries)
        self._sending: Entry | None = None
        self._failures = 0
        self._retry_at = float("-inf")
        self._problem = ""
        self._said_lost = False

    @property
    def left(self) -> list[Entry]:
        """What is not known to be delivered."""
        return [*([self._sending] if self._sending else []), *self._queue]

    @property
    def note(self) -> str | None:
        """For `status`."""
        if not self._failures:
            return None
        lost = f", {self.lost} given up" if self.lost else ""
        return f"alerts cannot be delivered: {self.to}: {self._problem} ({len(self.left)} waiting{lost})"

    def put(self, alert: Alert, now: float) -> None:
        """Take it in: into the last one of the same child when that is of the same kind."""
        for place in range(len(self._queue) - 1, -1, -1):
            before = self._queue[place]
            if before.alert.child == alert.child:
                if before.alert.kind == alert.kind:
                    self._queue[place] = Entry(before.alert.folded_with(alert), before.until)
                    return
                break
        self._queue.append(Entry(alert, now + GIVE_UP_AFTER))
        if len(self._queue) > MOST:
            self._queue.popleft()
            self.lost += 1

    def deadline(self) -> float | None:
        """When `take` or `expire` has something to do."""
        if self._sending or not self._queue:
            return None
        return min(self._retry_at, self._queue[0].until)

    def take(self, now: float) -> Alert | None:
        """Return what is to be sent now; then `ended` must be called."""
        if self._sending or not self._queue or now < self._retry_at:
            return None
        self._sending = self._queue.popleft()
        return self._sending.alert

    def ended(self, error: str | None, now: float) -> tuple[str, str] | None:
        """How the sending ended: None, or what went wrong."""
        sent, self._sending = self._sending, None
        assert sent is not None
        if error is None:
            return self._works()
        self._queue.appendleft(sent)
        self._failures += 1
        self._problem = error
        self._retry_at = now + min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(self._failures - 1, 16))
        if self._failures > 1:
            return None
        return "warning", f"alerts cannot be delivered to {self.to}: {error}; each is tried again for an hour"

    def expire(self, now: float) -> tuple[str, str] | None:
        """Give up what is too old. The first of an outage is said, the number of all when it is over."""
        old = [entry for entry in self._queue if entry.until <= now]
        if not old:
            return None
        self._queue = deque(entry for entry in self._queue if entry.until > now)
        self.lost += len(old)
        if self._said_lost:
            return None
        self._said_lost = True
        first = old[0].alert
        return "error", f"an alert to {self.to} is given up after an hour: {first.kind} of {first.child}"

    def idle(self, until: float) -> bool:
        """Whether nothing is under way, nor will be before `until`."""
        return not self._sending and (not self._queue or self._retry_at >= until)

    def _works(self) -> tuple[str, str] | None:
        failed, lost = self._failures, self.lost
        self._failures, self.lost, self._said_lost = 0, 0, False
        if failed:
            return "info", f"alerts to {self.to} are delivered again" + (f"; {lost} were given up" if lost else "")
        return ("warning", f"{lost} alerts to {self.to} were given up: more than {MOST} waited") if lost else None
