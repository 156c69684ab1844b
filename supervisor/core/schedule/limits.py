"""PURE: when a run is to end that has not ended by itself: its timeout, or the next slot with overlap = "cancel"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from supervisor.core.spec import TaskSettings

ASKED = 1.0  # seconds that a plain function has to see that it should stop, before an exception stops it
VERDICT = 5.0  # seconds after `kill_after` before the parent may end the process for it

BY_HAND = ("manual", "backfill")  # kinds of runs that people ask for, and wait for

Why = Literal["timeout", "overlap"]


@dataclass(frozen=True, slots=True)
class Limit:
    """Seconds from the begin of an attempt; None: never."""

    ask: float | None = None  # from then on `should_stop` says so
    soft: float | None = None  # an exception in the function's code, or the end of its coroutine
    hard: float | None = None  # the parent's verdict
    why: Why = "timeout"


def limit(settings: TaskSettings, until_next: float | None, *, coroutine: bool) -> Limit:
    """Return what bounds an attempt that begins `until_next` seconds before the next slot (None: there is none)."""
    timeout, ask = settings.timeout, None
    if settings.overlap == "cancel" and until_next is not None:
        ask = max(0.0, until_next)
        soft = ask if coroutine else ask + min(ASKED, settings.kill_after)
        if timeout is None or soft < timeout:
            return Limit(ask, soft, soft + settings.kill_after + VERDICT, "overlap")
    return Limit(ask, timeout, None if timeout is None else timeout + settings.kill_after + VERDICT)


def overtaken(settings: TaskSettings, row: Mapping[str, Any], cause: str | None, died: float) -> bool:
    """Whether a process that died in this run was killed for the next slot, and not for the run's own timeout.

    The run may have had no chance to say so: one long call of C code hears nothing.
    """
    if row.get("kind") in BY_HAND or settings.overlap != "cancel" or cause != "timed_out":
        return False
    started = row.get("started") or died
    return row.get("reason") == "overlap" or settings.timeout is None or died - started < settings.timeout
