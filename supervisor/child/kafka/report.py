"""RUNS IN A CHILD: what this consumer says of itself. Both threads write here; each change is told once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from supervisor.core.wire.messages import Facts, Message

_SPARING = 0.5  # seconds between two frames of numbers that change with every record
_TEXT = 600  # characters of one reason


class Report:
    """Facts, merged and compared with what the parent was told; and a counter that proves progress."""

    def __init__(self, post: Callable[[Message], bool]) -> None:
        self._post = post
        self._lock = threading.Lock()
        self._facts: dict[str, Any] = {}
        self._told: dict[str, Any] = {}
        self._reasons: dict[str, str] = {}
        self._outcomes: Counter[str] = Counter()
        self._standing: list[tuple[str, Callable[[], bool]]] = []
        self._sent = 0.0
        self.ticks = 0  # turns of the owner thread; that they go on is what keeps the main thread's phase fresh
        self.phase = "connecting"  # of the owner thread, while the main thread has no record
        self.budget = 30.0

    def tick(self, phase: str, budget: float) -> None:
        """From the owner thread: it is alive, and does this for at most so many seconds until the next tick."""
        self.phase, self.budget = phase, budget
        self.ticks += 1

    def set(self, **facts: Any) -> None:
        """Numbers that may be told a moment later."""
        with self._lock:
            self._facts.update(facts)

    def stand(self, text: str, holds: Callable[[], bool]) -> None:
        """A note that stays while `holds`, whatever is noted or cleared in between by others."""
        with self._lock:
            self._standing.append((text[:_TEXT], holds))

    def clear(self, notes: Iterable[str]) -> None:
        """Take these back, if one of them is the note of the moment."""
        with self._lock:
            if self._facts.get("note") in {text[:_TEXT] for text in notes}:
                self._facts["note"] = None

    def count(self, outcome: str, by: int = 1) -> None:
        """One more record ended otherwise than by being handled: dead_letters, retry_topic, skipped, filtered …"""
        with self._lock:
            self._outcomes[outcome] += by
            self._facts["outcomes"] = dict(self._outcomes)

    def waiting(self, source: str, reason: str | None) -> None:
        """What `source` (broker, group, access, dependency) waits for; None: for nothing any more."""
        with self._lock:
            if reason is None:
                self._reasons.pop(source, None)
            else:
                self._reasons[source] = reason[:_TEXT]
            self._facts["waiting"] = "; ".join(self._reasons.values()) or None
            changed = self._facts["waiting"] != self._told.get("waiting")
        if changed:
            self.flush()

    def waits(self, *sources: str) -> bool:
        """Return whether any of these waits for something."""
        with self._lock:
            return any(source in self._reasons for source in sources)

    def flush(self) -> None:
        """Tell what changed. A full pipe keeps it for the next time."""
        with self._lock:
            self._standing = [each for each in self._standing if each[1]()]
            if self._standing and not self._facts.get("note"):
                self._facts["note"] = self._standing[-1][0]
            changed = {key: value for key, value in self._facts.items() if self._told.get(key, _NEVER) != value}
            many = {"partitions": changed.pop("partitions")} if "partitions" in changed else {}
            for frame in (changed, many):  # apart, so that each fits its frame
                if frame and self._post(Facts(frame)):
                    self._told.update(frame)
            self._sent = time.monotonic()

    def is_due(self) -> bool:
        """Return whether numbers may be told again."""
        return time.monotonic() - self._sent >= _SPARING


_NEVER = object()
