"""RUNS IN THE PARENT: all children at one moment, as `status` answers. Asks nobody: it is told while children hang."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from supervisor.core.lifecycle.child import Child
from supervisor.core.lifecycle.events import State
from supervisor.core.overrides import Override, public
from supervisor.core.spec import ChildSpec, ConsumerSettings
from supervisor.core.words import epoch
from supervisor.parent.known import Known

_OWN = (
    *("last_run", "lag", "partitions", "records", "outcomes", "topics", "schedule", "last_error", "note", "demo"),
    "held",
)
_FAR = 2e11  # epoch seconds: beyond the year 8000 no child means what it says


@dataclass(frozen=True, slots=True)
class Moment:
    """The two clocks, read once: durations by the one, instants by the other."""

    mono: float
    wall: float

    def instant(self, mono: float | None) -> str | None:
        return None if mono is None else iso(self.wall + mono - self.mono)


@dataclass(frozen=True, slots=True)
class Pause:
    """Of a consumer, by hand."""

    who: str
    since: float  # epoch seconds


@dataclass(frozen=True, slots=True)
class Missing:
    """Another child that this one cannot do without, and what to type."""

    text: str
    remedy: str


def missing_broker(spec: ChildSpec, broker: Child, *, enabled: bool) -> Missing | None:
    """A consumer only sees that nobody listens; that the embedded broker was switched off is known here."""
    if not isinstance(spec.settings, ConsumerSettings) or spec.settings.bootstrap_servers != "embedded":
        return None
    if not enabled:
        return Missing("the embedded broker is disabled", f"supervisor enable {broker.name}")
    if broker.state is not State.RUNNING:
        return Missing(f"the embedded broker is {broker.state.value}", f"supervisor explain {broker.name}")
    return None


def iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def child_status(
    child: Child,
    spec: ChildSpec,
    known: Known,
    override: Override | None,
    at: Moment,
    *,
    enabled: bool,
    missing: Missing | None = None,
    pause: Pause | None = None,
) -> dict[str, Any]:
    waiting = _waiting(known) if child.state is State.RUNNING else None
    missing = missing if waiting else None
    shown = {
        "name": child.name,
        "group": spec.group,
        "kind": spec.kind,
        "state": child.state.value,
        "enabled": enabled,
        "wanted": child.wanted,
        "ready": child.state is State.RUNNING,
        "override": public(override) if override else None,
        "pid": child.pid,
        "since": at.instant(child.since) if child.generation or child.wanted else None,
        "uptime": at.mono - child.ready_at if child.ready_at is not None and child.alive else None,
        "restarts": child.failures.in_row,
        "same_error": child.failures.same,
        "starts": known.starts,
        "heartbeat_age": at.mono - known.beat_at if known.beat_at is not None and child.alive else None,
        "reason": child.reason or None,
        "next_try": at.instant(child.deadline) if child.state is State.BACKOFF else None,
        "waiting": missing.text if missing else waiting,
        "remedy": missing.remedy if missing else None,
        "where": spec.where,
        "last_exit": _last_exit(known),
    }
    said = {key: known.facts[key] for key in _OWN if key in known.facts}
    due = {"next_slot": _next_slot(child, known, at) if enabled else None} if spec.kind == "task" else {}
    paused = {"paused_by": {"who": pause.who, "since": iso(pause.since)}} if pause else {}
    return shown | _doing(child, known, at) | said | due | paused | _configured(spec)


def _next_slot(child: Child, known: Known, at: Moment) -> str | None:
    """What a process said that is gone holds until then; of a task that nobody wants no slot is next."""
    slot = epoch(known.facts.get("next_slot")) if child.wanted else None
    if slot is None or not 0 < slot < _FAR or (slot < at.wall and not child.alive):
        return None
    return iso(slot)


def _configured(spec: ChildSpec) -> dict[str, Any]:
    """What a child need not run for to be known."""
    if isinstance(spec.settings, ConsumerSettings):
        return {"topics": list(spec.settings.topics)}
    return {"schedule": spec.when} if spec.when else {}


def _doing(child: Child, known: Known, at: Moment) -> dict[str, Any]:
    alive, doing, beat = child.alive, known.doing, known.beat
    return {
        "phase": doing.phase if alive and doing else None,
        "phase_age": max(0.0, at.mono - doing.since) if alive and doing else None,
        "subject": doing.subject if alive and doing else None,
        "rss": beat.rss if alive and beat else None,
        "cpu": beat.cpu if alive and beat else None,
        "dropped_frames": beat.dropped if alive and beat else 0,
    }


def _last_exit(known: Known) -> dict[str, Any] | None:
    if known.last_exit is None:
        return None
    shown = asdict(known.last_exit)
    shown["time"] = iso(shown.pop("at"))
    del shown["ran"]  # between processes of the task
    return shown | {"not_evicted": known.not_evicted or None}


def _waiting(known: Known) -> str | None:
    """For its partitions a new member may wait because a dead one has them still."""
    said = known.facts.get("waiting")
    return f"{said}; {known.not_evicted}" if said and known.not_evicted else said


def detail(child: Child, known: Known, at: Moment) -> dict[str, Any]:
    """What `explain` shows beyond the status: the memory of failures and the stacks of the last fault."""
    failures, policy = child.failures, child.policy
    return {
        "failures": {
            "in_row": failures.in_row,
            "total": failures.total,
            "same_error": failures.same,
            "first": at.instant(failures.first_at) if failures.in_row else None,
            "recent": len(failures.recent),
            "crash_loop": failures.looping,
            "window": policy.crash_loop_window,
            "limit": policy.crash_loop_count,
            "on_crash_loop": policy.on_crash_loop,
        },
        "stacks": known.stacks[-16384:] or None,
        "lived": known.lived,
        "facts": dict(known.facts),
        "heartbeat_timeout": policy.heartbeat_timeout,
        "grace_period": policy.grace_period,
    }


def supervisor_status(fields: Mapping[str, Any], notes: list[str], children: list[dict[str, Any]]) -> dict[str, Any]:
    demo = any(child["kind"] == "broker" for child in children)
    return {"supervisor": {**fields, "demo": demo, "notes": notes}, "children": children}
