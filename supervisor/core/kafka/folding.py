"""Ninety-seven equal lines of a client library in five seconds become one line and a count.

Lines are equal when they differ in digits only (ports, addresses, durations).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_DIGITS = re.compile(r"\d+")


@dataclass(slots=True)
class _Run:
    since: float
    last: str
    more: int = 0  # since the line that was shown


class Fold:
    """Give it lines, it says which to show; time is passed in."""

    def __init__(self, window: float = 5.0, most: int = 100) -> None:
        self._window = window
        self._most = most  # different lines remembered at once
        self._runs: dict[str, _Run] = {}

    def add(self, text: str, now: float) -> list[str]:
        """Return the lines to show now: a new one at once, a repeated one not."""
        shown = self.due(now)
        key = _DIGITS.sub("#", text)
        run = self._runs.get(key)
        if run is not None:
            run.more += 1
            run.last = text
            return shown
        if len(self._runs) >= self._most:
            self._runs.pop(next(iter(self._runs)))
        self._runs[key] = _Run(now, text)
        return [*shown, text]

    def due(self, now: float) -> list[str]:
        """Return the counts whose window is over; a line without repetition is forgotten."""
        shown: list[str] = []
        for key, run in list(self._runs.items()):
            if now - run.since < self._window:
                continue
            if run.more:
                shown.append(f"{run.last} (×{run.more} in {now - run.since:.0f} s)")
                self._runs[key] = _Run(now, run.last)
            else:
                del self._runs[key]
        return shown
