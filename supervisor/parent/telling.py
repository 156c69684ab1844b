"""RUNS IN THE PARENT: a change of state in the words of the log. Every transition is told here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from supervisor.core.durations import text as duration
from supervisor.core.lifecycle.body import Phase
from supervisor.core.lifecycle.child import Child
from supervisor.core.lifecycle.events import Changed, State
from supervisor.core.lifecycle.exits import Cause


@dataclass(frozen=True, slots=True)
class Told:
    event: str  # the glyph goes by it
    text: str


def tell(change: Changed, child: Child, now: float, lived: float | None) -> Told | None:
    """Return what to say, or None where the fork itself says more. `lived`: seconds of the process that ended."""
    after = f" after {_short(lived)}" if lived is not None else ""
    match change.new:
        case State.STARTING:
            return Told("waiting", change.reason) if change.reason else None
        case State.RUNNING:
            failed = child.failures.in_row
            return Told("ready", f"ready, pid {child.pid}" + (f", restart {failed}" if failed else ""))
        case State.STOPPING if change.level == "warning" and child.phase is Phase.KILLING:
            return Told("killed", f"{change.reason}; killing pid {child.pid}")
        case State.STOPPING if change.level == "warning":
            event = "timed_out" if child.verdict and child.verdict[0] is Cause.TIMED_OUT else "hung"
            return Told(event, f"{change.reason}; taking its stacks, then ending pid {child.pid}")
        case State.STOPPING:
            return Told("stopping", f"stopping pid {child.pid}: {change.reason}")
        case State.STOPPED:
            return Told("stopped", f"stopped: {change.reason}" if change.reason else "stopped")
        case State.BACKOFF:
            wait = max(0.0, (child.deadline or now) - now)
            count = f"restart {child.failures.in_row} " if child.failures.in_row else "next try "
            return Told("died", f"{change.reason}{after}; {count}{'at once' if not wait else f'in {_short(wait)}'}")
        case State.FATAL:
            return Told("fatal", f"{change.reason}; not tried again. See: supervisor explain {child.name}")


def _short(seconds: float) -> str:
    return f"{seconds:.2f}s" if seconds < 10 else duration(float(round(seconds)))
