"""RUNS IN A CHILD: the soft end of a run: an exception where its code is, by SIGALRM in the main thread.

It ends a loop, a sleep, a socket, a lock, a regular expression. It does not end one long call of C code, or code
that catches everything: those stay beyond the budget of their phase, and the parent kills the process.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class TaskTimeout(BaseException):
    """Raised in the user's function when its time is over. No Exception: `except Exception` must not keep it."""


class Overtaken(TaskTimeout):
    """Raised when the next slot needs the room: overlap = "cancel"."""


class Alarm:
    """One for the process's life; `ring` decides what happens when the time is over."""

    def __init__(self) -> None:
        self._ring: Callable[[], None] | None = None
        signal.signal(signal.SIGALRM, self._rang)

    @contextmanager
    def after(self, seconds: float | None, ring: Callable[[], None]) -> Iterator[None]:
        """Within the block, call `ring` in the main thread once `seconds` are over; None: never."""
        if seconds is not None:
            self._ring = ring
            signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
        try:
            yield
        finally:
            self.off()

    def off(self) -> None:
        self._ring = None
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _rang(self, number: int, frame: FrameType | None) -> None:
        ring, self._ring = self._ring, None
        if ring is not None:  # None: it rang as the block ended
            ring()
