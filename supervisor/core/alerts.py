"""PURE: what people are told of when something needs one of them, and how many events become one alert.

The same kind for the same child is told at once, and what follows within a minute is told together when the minute
is over: a thousand dead letters are two alerts. A recovery never overtakes what it is the end of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from supervisor.core.spec import AlertKind

WINDOW = 60.0  # seconds within which the same becomes one
RECOVERED: AlertKind = "recovered"
_CODES: Mapping[str, AlertKind] = {  # of Said and Notice
    "crash_loop": "crash_loop",
    "dead_letter": "dead_letter",
    "partition_paused": "partition_paused",
    "offset_missing": "partition_paused",
    "partition_stalled": "partition_stalled",
    "not_joined": "not_joined",
    "fenced": "fenced",
    "task_paused": "task_paused",
    "unkillable": "unkillable",
}

Key = tuple[AlertKind, str]


@dataclass(frozen=True, slots=True)
class Alert:
    kind: AlertKind
    child: str
    text: str
    time: float  # epoch seconds; of the first, when it stands for several
    count: int = 1

    @property
    def key(self) -> Key:
        return self.kind, self.child

    def folded_with(self, later: Alert) -> Alert:
        return replace(later, time=self.time, count=self.count + later.count)


def kind_of(code: str) -> AlertKind | None:
    """Return the alert that a notice's code stands for, if any."""
    return _CODES.get(code)


def body(alert: Alert, *, host: str, version: str, run_id: str) -> dict[str, Any]:
    """Return what is sent, as JSON values; its `text` alone is a sentence, which is all that some chats look at."""
    many = f" ({alert.count} times)" if alert.count > 1 else ""
    return {
        "kind": alert.kind,
        "child": alert.child,
        "text": f"{alert.child} on {host}: {alert.kind.replace('_', ' ')}: {alert.text}{many}",
        "time": datetime.fromtimestamp(alert.time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "count": alert.count,
        "host": host,
        "supervisor": {"version": version, "run_id": run_id},
    }


@dataclass(frozen=True, slots=True)
class _Waiting:
    alert: Alert
    due: float


class Folding:
    """Events in, fewer alerts out. Holds one alert for each kind and child at most. All times are monotonic."""

    def __init__(self) -> None:
        self._waiting: dict[Key, _Waiting] = {}
        self._told: dict[Key, float] = {}  # when last

    def add(self, alert: Alert, now: float) -> None:
        self._make_way(alert, now)
        before = self._waiting.get(alert.key)
        if before:
            self._waiting[alert.key] = _Waiting(before.alert.folded_with(alert), before.due)
        else:
            free = self._told.get(alert.key, now - WINDOW) + WINDOW
            self._waiting[alert.key] = _Waiting(alert, max(now, free))

    def deadline(self) -> float | None:
        return min((waiting.due for waiting in self._waiting.values()), default=None)

    def due(self, now: float) -> list[Alert]:
        """Return, and forget, what is to be told now."""
        self._told = {key: at for key, at in self._told.items() if at > now - WINDOW}
        ready = sorted((w for w in self._waiting.values() if w.due <= now), key=lambda waiting: waiting.due)
        for waiting in ready:
            del self._waiting[waiting.alert.key]
            self._told[waiting.alert.key] = now
        return [waiting.alert for waiting in ready]

    def hurry(self, now: float) -> None:
        """Nothing waits for its minute any more."""
        self._waiting = {key: _Waiting(waiting.alert, min(waiting.due, now)) for key, waiting in self._waiting.items()}

    def _make_way(self, alert: Alert, now: float) -> None:
        """The last word on a child must be true: its troubles go before its recovery, which a new trouble revokes."""
        if alert.kind != RECOVERED:
            self._waiting.pop((RECOVERED, alert.child), None)
            return
        for key, waiting in self._waiting.items():
            if key[1] == alert.child and key[0] != RECOVERED:
                self._waiting[key] = _Waiting(waiting.alert, min(waiting.due, now))
