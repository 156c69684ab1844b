"""RUNS IN THE USER'S TERMINAL, for `explain`: what of a task did not run in the last day, and why; what ended badly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from supervisor.cli import past
from supervisor.cli.place import Place
from supervisor.core.errors import SupervisorError
from supervisor.core.prose import gist
from supervisor.core.words import epoch, short

DAY = 86400.0
_LOOKED_AT = 10_000  # records: a day of one every nine seconds
_MOST = 5  # lines, of the newest
_WELL = ("ok", "running")
_WHY = {
    "down": "its process was not there",
    "late": "its process woke too late",
    "clock": "the clock was set forward, or the machine slept",
    "overlap": "the run before it went on",
    "disabled": "it was disabled",
    "paused": "its runs were paused",
    "stopping": "its process was stopping",
    "started, not recorded": "it started, and its process ended before it could record it",
}
Run = Mapping[str, Any]


def lines(place: Place, child: Mapping[str, Any], now: float) -> list[str]:
    """Return what is to be said of a child's last day; nothing of one that is no task, or when all was well."""
    if child.get("kind") != "task":
        return []
    name = str(child.get("group") or child.get("name"))
    try:
        runs = past.runs(place, name, _LOOKED_AT, missed=False) or []
        return [*not_all(runs, name, now), *told(runs, name, now)]
    except SupervisorError as error:
        return [str(error)]


def not_all(runs: Sequence[Run], name: str, now: float) -> list[str]:
    if len(runs) < _LOOKED_AT or _last(runs[0]) < now - DAY:
        return []
    return [f"of the last {short(now - _last(runs[0]))} only: supervisor history {name} --missed has what was before"]


def told(runs: Sequence[Run], name: str, now: float) -> list[str]:
    """Return the newest lines; records next to each other that say the same are one."""
    recent = (run for run in runs if _last(run) >= now - DAY)
    found = [_line(list(some), why) for (state, why), some in groupby(recent, _what) if state not in _WELL]
    more = [f"… supervisor history {name} has the {len(found) - _MOST} before these"] if len(found) > _MOST else []
    return [*more, *found[-_MOST:]]


def _line(some: Sequence[Run], why: str) -> str:
    """02:00:00 to 05:00:00 missed, 4 slots: its process was not there."""
    first, last = past.instant(some[0].get("slot")), past.instant(some[-1].get("last") or some[-1].get("slot"))
    until = "" if first == last else f" to {_without(last, first)}"
    counts = [run.get("slots") if "last" in run else 1 for run in some]
    slots = sum(each for each in counts if isinstance(each, int)) if None not in counts else None
    many = "" if slots == 1 else f", {'many' if slots is None else slots} slots"
    state = str(some[0].get("state")).replace("_", " ")
    return f"{first}{until} {state}{many}" + (f": {why}" if why else "")


def _what(run: Run) -> tuple[object, str]:
    """State, and why in words."""
    reason = str(run.get("reason") or "")
    return run.get("state"), gist(str(run.get("error") or "")) or _WHY.get(reason, reason)


def _last(run: Run) -> float:
    return epoch(run.get("last") or run.get("slot")) or 0.0


def _without(time: str, first: str) -> str:
    """The time alone when it is of the same day."""
    return time.removeprefix(f"{first.partition(' ')[0]} ")
