"""RUNS IN THE PARENT: says of a task that no run has ended well in time, which its own process may not see.

For tasks with `expect_within`, whether or not somebody gets alerts: an event, a line in the log, and `on_overdue`,
which is user code and so is called in a helper.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from supervisor.core.spec import TaskSettings
from supervisor.core.trouble import Seen, Trouble
from supervisor.core.words import epoch
from supervisor.helper import calls
from supervisor.parent.helpers import Outcome
from supervisor.parent.site import Site
from supervisor.parent.snapshot import iso

WITHIN = 15.0  # seconds for the hook, with the import of its module
_NEVER = float("inf")  # what is not ready is told of elsewhere


class Overdue:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._late: dict[str, Trouble] = {}

    def run_ended(self, name: str, result: Mapping[str, Any]) -> None:
        slot = epoch(result.get("slot"))
        if name in self._late and result.get("state") == "ok" and slot is not None:
            self._late[name].ran_well(slot)

    def shift(self, gap: float) -> None:
        for late in self._late.values():
            late.shift(gap, time.time())

    def look(self, now: float, seen: Callable[[str], Seen]) -> None:
        specs = self._site.fleet.specs
        self._late = {name: late for name, late in self._late.items() if name in specs}
        for name, spec in specs.items():
            if isinstance(spec.settings, TaskSettings) and spec.settings.expect_within is not None:
                self._look(name, spec.settings, seen(name), now)

    def _look(self, name: str, settings: TaskSettings, seen: Seen, now: float) -> None:
        late = self._late.setdefault(name, Trouble())
        slot = late.awaited
        for kind, text in late.look(seen, now, time.time(), after=_NEVER, within=settings.expect_within):
            if kind == "overdue":
                late.raised(kind, now)
                self._site.happened("warning", f"overdue: {text}", child=name, event="overdue")
                self._call(name, settings.on_overdue, slot, text, now)

    def _call(self, name: str, target: str | None, slot: float | None, text: str, now: float) -> None:
        if target is None:
            return

        def done(outcome: Outcome) -> None:
            if problem := outcome.error or outcome.value:
                self._site.happened("warning", f"on_overdue failed: {problem}", child=name, event="hook_failed")

        record = {"task": name, "slot": None if slot is None else iso(slot), "state": "overdue", "reason": text}
        folder = self._site.plan.supervisor.project_dir
        self._site.helpers.start("hook", calls.hook, target, record, folder, within=WITHIN, now=now, done=done)
