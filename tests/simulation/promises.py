"""The words of the oracle: what a broken promise is, how late is late, and when nobody can be judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from supervisor.core.lifecycle import events as ev

SLACK = 1.0  # seconds within which what is due must have been done
EPSILON = 1e-6
PREPARE_WITHIN, DUMP_WITHIN = 2.5, 0.3
LEAST_WAIT = 0.05  # after a start that the machine or a dependency refused


class Violation(Exception):
    """The core broke a promise."""


def must(truth: object, promise: str) -> None:
    if not truth:
        raise Violation(promise)


@dataclass(slots=True)
class Gaps:
    """When the supervisor stood still. Nobody is judged for that time."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    def since(self, moment: float) -> float:
        return sum(end - max(start, moment) for start, end in self.spans if end > moment)


def crash_loop_said(actions: Iterable[Any]) -> bool:
    return any(isinstance(action, ev.Said) and action.code == "crash_loop" for action in actions)
