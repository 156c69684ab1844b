"""RUNS IN THE PARENT: config.toml again. A helper reads and checks it; only a whole valid plan is applied."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from supervisor.core.spec import BrokerSettings, plan_from_json
from supervisor.core.wire.messages import Order
from supervisor.helper import calls
from supervisor.parent.driver import Driver
from supervisor.parent.helpers import Outcome
from supervisor.parent.site import Site

READ_WITHIN = 30.0  # the check imports user code
Reply = Callable[[dict[str, Any]], None]
Seen = tuple[int, int, int] | None


class Reloading:
    """One reading at a time; whoever asks meanwhile gets the next one, which sees what they saved."""

    def __init__(self, site: Site, driver: Driver) -> None:
        self._site = site
        self._driver = driver
        self._file = site.plan.supervisor.config_file
        self._seen = _signature(self._file)
        self._busy = False
        self._waiting: list[tuple[bool, Reply]] = []

    def watch(self) -> None:
        """Once a second, one stat: a saved change is applied."""
        seen = _signature(self._file)
        if seen != self._seen and self._site.plan.supervisor.watch:
            self._seen = seen
            if seen is not None:
                self.request(dry_run=False, reply=lambda body: None)

    def request(self, *, dry_run: bool, reply: Reply) -> None:
        self._waiting.append((dry_run, reply))
        self._begin()

    def _begin(self) -> None:
        if self._busy or not self._waiting or self._site.fleet.shutdown:
            return
        self._busy = True
        asked, self._waiting = self._waiting, []
        if any(not dry_run for dry_run, _ in asked):
            self._seen = _signature(self._file)
            self._site.notify.reloading()
        self._site.helpers.start(
            "read config.toml",
            calls.read_config,
            self._file,
            self._site.plan,
            within=READ_WITHIN,
            now=time.monotonic(),
            done=lambda outcome: self._read(outcome, asked),
        )

    def _read(self, outcome: Outcome, asked: list[tuple[bool, Reply]]) -> None:
        self._busy = False
        apply = any(not dry_run for dry_run, _ in asked)
        body = self._answer(outcome)
        if apply and body["problems"]:
            self._refuse(body["problems"])
        elif apply and not self._site.fleet.shutdown:
            self._apply(outcome.value["plan"], body["plan"])
        self._site.notify.reloaded()
        for dry_run, reply in asked:
            reply({**body, "applied": not dry_run and not body["problems"]})
        self._begin()

    def _answer(self, outcome: Outcome) -> dict[str, Any]:
        if outcome.error:
            problem = {"file": self._file, "line": None, "key": "", "text": outcome.error}
            return {"plan": [], "problems": [problem], "warnings": []}
        found = outcome.value
        return {
            "plan": found.get("changes", []),
            "problems": found.get("problems", []),
            "warnings": found.get("warnings", []),
        }

    def _refuse(self, problems: list[dict[str, Any]]) -> None:
        self._site.problems = problems
        for problem in problems:
            self._site.say("error", _line(problem), event="error")
        many = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        self._site.say("error", f"{many} in the configuration: the old one stays in force")

    def _apply(self, plan: dict[str, Any], changes: list[dict[str, Any]]) -> None:
        site, now = self._site, time.monotonic()
        site.plan, site.problems, site.loaded = plan_from_json(plan), [], time.time()
        self.settle_toggles()
        told = ", ".join(f"{change['name']} ({change['change']})" for change in changes) or "nothing changed"
        site.journal.settle(site.toggled(), site.loaded)
        site.happened("info", f"configuration loaded: {told}", event="reloaded")
        for change in changes:
            if change["change"] == "supervisor":
                site.say("warning", str(change["what"]))
        self._make_topics()
        self._driver.act(site.fleet.apply(site.plan.children, site.enabled, now), now)

    def _make_topics(self) -> None:
        """The embedded broker goes on with what it holds. One order each: a frame is small."""
        for spec in self._site.plan.children:
            old = self._site.fleet.specs.get(spec.name)
            if old and isinstance(spec.settings, BrokerSettings) and isinstance(old.settings, BrokerSettings):
                for topic, partitions in spec.settings.topics.items():
                    if topic not in old.settings.topics:
                        self._driver.order(spec.name, Order("topic", {"name": topic, "partitions": partitions}))

    def settle_toggles(self) -> None:
        """Drop overrides whose time is over, or whose very key was edited."""
        site, wall, now = self._site, time.time(), time.monotonic()
        if not site.toggles.current:
            return
        for ended in site.toggles.settle(site.configured(), wall):
            site.happened("info", f"override ended: {ended.why}", child=ended.name, event="enabled")
            for name in site.members(ended.name):
                up = site.enabled(site.fleet.specs[name])
                site.journal.toggle(ended.name, enabled=up, now=wall)
                self._driver.act(site.fleet.want(name, up=up, why="override ended", now=now), now)


def _line(problem: dict[str, Any]) -> str:
    """As compilers write it: config.toml:23: tasks.a.every: expected …"""
    place = f"{problem['file']}:{problem['line']}" if problem.get("line") else str(problem["file"])
    return ": ".join(part for part in (place, problem.get("key"), str(problem["text"])) if part)


def _signature(file: str) -> Seen:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
