"""RUNS IN THE USER'S TERMINAL: what `schedule` and `check` know of the runs to come: triggers, toggles, durations."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from supervisor.cli import ask
from supervisor.cli.place import Place
from supervisor.core import names
from supervisor.core.errors import NoSuchChild, SupervisorError, WrongUsage
from supervisor.core.schedule import outlook
from supervisor.core.schedule.slots import Trigger, trigger
from supervisor.core.spec import ChildSpec, Plan, TaskSettings
from supervisor.core.status import children

_RUNS = 200  # of the ledger: those that say how long it takes


def tasks(plan: Plan, wanted: Sequence[str] = ()) -> dict[str, ChildSpec]:
    """Return the tasks of these names; all when there are none."""
    found = {child.group: child for child in plan.children if isinstance(child.settings, TaskSettings)}
    for name in wanted:
        if name not in found:
            if any(child.group == name for child in plan.children):
                raise WrongUsage(names.no_task(name))
            raise NoSuchChild(names.unknown("task", name, found))
    return {name: spec for name, spec in found.items() if not wanted or name in wanted}


def due(spec: ChildSpec) -> Trigger:
    assert isinstance(spec.settings, TaskSettings)
    return trigger(spec.settings)


def cut(shown: Sequence[outlook.Coming], triggers: Mapping[str, Trigger], until: float) -> list[str]:
    """Return the tasks that have more slots until then than are shown."""
    last = {each.task: each.slot for each in shown}  # they are in order
    following = {name: triggers[name].next_after(slot) for name, slot in last.items()}
    return [name for name, slot in following.items() if slot is not None and slot <= until]


def toggles(place: Place) -> Mapping[str, Mapping[str, Any]]:
    """Return what a running supervisor says of each child; nothing when none answers."""
    try:
        return {str(child.get("group")): child for child in children(ask.status(place))}
    except SupervisorError:
        return {}


def durations(place: Place, name: str) -> list[float]:
    """Return how long the last runs took; nothing when there is no ledger that can be read."""
    from supervisor.child.schedule.ledger_file import contents

    file = place.paths.ledger(name)
    if not os.path.exists(file):
        return []
    try:
        found = contents(file, limit=_RUNS, only="duration IS NOT NULL AND kind = 'schedule'")
    except sqlite3.Error:
        return []
    return [float(row["duration"]) for row in found.rows]


def warnings(place: Place, plan: Plan, *, near: float) -> Iterator[tuple[ChildSpec, str]]:
    now = time.time()
    for name, spec in tasks(plan).items():
        for text in outlook.warnings(due(spec), durations(place, name), now, near=near):
            yield spec, text
