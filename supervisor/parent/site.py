"""RUNS IN THE PARENT: what its parts share: the plan in force, the state folder, the fleet, the ways to speak."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from supervisor.core import overrides
from supervisor.core.lifecycle.fleet import Fleet
from supervisor.core.paths import Paths
from supervisor.core.spec import ChildSpec, Plan
from supervisor.parent.events import Events
from supervisor.parent.helpers import Helpers
from supervisor.parent.journal import Journal
from supervisor.parent.notify import Notify
from supervisor.parent.output import Output
from supervisor.parent.overrides import Toggles
from supervisor.parent.poller import Poller
from supervisor.parent.snapshot import Moment, Pause


def moment() -> Moment:
    return Moment(time.monotonic(), time.time())


@dataclass(slots=True, kw_only=True)
class Site:
    plan: Plan
    paths: Paths
    run_id: str
    console: int  # our stderr, for the children's log lines
    nofile: tuple[int, int]  # our limit before we raised it
    output: Output
    poller: Poller
    helpers: Helpers
    toggles: Toggles
    journal: Journal
    events: Events
    notify: Notify
    fleet: Fleet
    started: Moment
    notes: list[str]  # of the start: where things are otherwise than configured
    loaded: float  # when the plan in force was read, epoch seconds
    problems: list[dict[str, Any]] = field(default_factory=list)  # of the last reload that was refused
    manual: set[str] = field(default_factory=set)  # disabled tasks that run once by hand
    held: dict[str, Pause] = field(default_factory=dict)  # consumers that are paused by hand
    stalls: int = 0
    longest_stall: float = 0.0
    escalation: str | None = None

    def enabled(self, spec: ChildSpec) -> bool:
        """The toggle: config.toml's word, or the override's."""
        return overrides.enabled(spec.enabled, self.toggles.current.get(spec.group))

    def configured(self) -> dict[str, bool]:
        return {spec.group: spec.enabled for spec in self.plan.children}

    def toggled(self) -> dict[str, bool]:
        """Of every group, as it is in force."""
        return {spec.group: self.enabled(spec) for spec in self.plan.children}

    def members(self, name: str) -> list[str]:
        """Return the children that a name means: one, or all members of a consumer."""
        specs = self.fleet.specs
        return [name] if name in specs else [each for each, spec in specs.items() if spec.group == name]

    def happened(self, level: str, text: str, *, child: str = "supervisor", **fields: Any) -> None:
        """Say it, and write it down with a number: `supervisor events`."""
        self.say(level, text, child=child, **fields)
        self.events.add(level, child, text, **fields)

    def say(self, level: str, text: str, *, child: str = "supervisor", **fields: Any) -> None:
        self.output.event(level, child, text, **fields)
