"""RUNS IN THE USER'S TERMINAL, for `history`: what the ledger says, and what no process has written yet.

A run is going only when the supervisor answers and the process is there that wrote it; slots that no runner could
take follow from the schedule and the parent's journal, both in the state folder.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from supervisor.cli import ask, options, terminal
from supervisor.cli.place import Place
from supervisor.core import names
from supervisor.core.errors import NoSuchChild, NotRunning, SupervisorError, WrongUsage
from supervisor.core.schedule.unwritten import as_it_is, is_taken
from supervisor.core.words import epoch

if TYPE_CHECKING:
    from supervisor.child.schedule.ledger_file import Contents

Run = Mapping[str, Any]
_TICK = 0.0005  # half the resolution of slots
_SOON = 1.0  # seconds: a run that waits for its slot has its record
_NOT_RUN = "state IN ('missed', 'skipped')"


def runs(place: Place, name: str, limit: int, *, missed: bool) -> list[Run] | None:
    """Return the newest `limit` records, the latest last, or None when there is no ledger. `missed`: no runs."""
    from supervisor.child.schedule.ledger_file import contents, record

    file = place.paths.ledger(name)
    if not os.path.exists(file):
        return None
    try:
        now = time.time()
        found = contents(file, limit=limit, only=_NOT_RUN if missed else "TRUE", now=now + _SOON)
    except sqlite3.Error as error:
        raise SupervisorError(f"{place.short(file)} cannot be read: {error}") from error
    child = _child(place, name)  # after the file: what it has as going may have ended since, not the other way round
    written = [as_it_is(record(name, row), child, found.meta.get("pid")) for row in found.rows]
    if is_taken(child):
        return written
    ranges = [record(name, row) for row in _unwritten(place, name, found)]
    return sorted([*written, *ranges], key=lambda run: (_at(run) <= now + _SOON, _at(run)))[-limit:]


def _unwritten(place: Place, name: str, found: Contents) -> Iterator[dict[str, Any]]:
    """Slots up to now that have no record; behind a clock that was set back some have one and others not."""
    from supervisor.child.schedule import ledger_file, off
    from supervisor.core.schedule.carve import free
    from supervisor.core.schedule.missed import unclosed
    from supervisor.core.schedule.slots import from_text

    try:
        trigger = from_text(str(found.meta.get("schedule")))
    except ValueError:
        terminal.tell(f"{name}: slots that no process could record are not shown: the history has no schedule yet")
        return
    if found.settled is None:
        return
    after, now = min(found.settled, found.meta.get("behind") or found.settled), time.time()
    known = ledger_file.taken(place.paths.ledger(name), after, now) if after < found.settled else []
    for whole in unclosed(trigger, after, now, off.spans(place.paths.journal, name)):
        for each in free(trigger, whole, known):
            yield {**asdict(each), "slot": each.first, "kind": "schedule"}


def missed(place: Place, name: str, since: float, until: float, most: int) -> list[float]:
    """Return the first `most` slots of [since, until] that the ledger has as missed, in order."""
    from itertools import islice

    from supervisor.child.schedule import ledger_file
    from supervisor.core.schedule.slots import from_text

    file = place.paths.ledger(name)
    if not os.path.exists(file):
        known_task(place, name)
        return []
    try:
        found, schedule = ledger_file.missed(file, since, until)
        trigger = from_text(str(schedule))
    except sqlite3.Error as error:
        raise SupervisorError(f"{place.short(file)} cannot be read: {error}") from error
    except ValueError as error:
        raise SupervisorError(f"{place.short(file)} says no schedule yet: {error}") from error
    spans = ((max(row["slot"], since), min(row["last"] or row["slot"], until)) for row in found)
    slots = (slot for first, last in spans for slot in trigger.between(first - _TICK, last))
    return list(islice(slots, most))


def not_recorded(place: Place, name: str, since: float, until: float) -> bool:
    """Whether slots of [since, until] wait for a process of the task that records them as missed."""
    from supervisor.child.schedule.ledger_file import contents

    file = place.paths.ledger(name)
    if not os.path.exists(file) or is_taken(_child(place, name)):
        return False
    try:
        found = contents(file, limit=1)
    except sqlite3.Error:
        return False
    return any(each["slot"] <= until and each["last"] >= since for each in _unwritten(place, name, found))


def known_task(place: Place, name: str) -> None:
    """Raise what is wrong with a name that has no ledger, unless it is a task of config.toml."""
    known = options.configured(place)
    if name in known.get("consumers", ()):
        raise WrongUsage(names.no_task(name))
    if name not in known.get("tasks", ()):
        raise NoSuchChild(names.unknown("task", name, known.get("tasks", ())))


def instant(time: object) -> str:
    """Return an instant in the person's zone: 2026-11-25 14:00:00."""
    from datetime import datetime

    found = epoch(time)
    return f"{datetime.fromtimestamp(found).astimezone():%Y-%m-%d %H:%M:%S}" if found is not None else "-"


def _child(place: Place, name: str) -> Mapping[str, Any] | None:
    try:
        return ask.child(place, name)
    except (NotRunning, NoSuchChild):
        return None
    except SupervisorError as error:
        terminal.tell(f"what runs now is not known: {error}")
        return None


def _at(run: Run) -> float:
    return epoch(run.get("started") or run.get("last") or run.get("slot")) or 0.0
