"""RUNS IN THE PARENT: what needs a person, to those who are to tell one. A helper sends; nothing here waits for it.

Each target has an outbox of its own, so one that hangs holds up neither the other nor the supervision.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from supervisor import __version__
from supervisor.core import alerts
from supervisor.core.alerts import Alert, Folding
from supervisor.core.config import redact
from supervisor.core.lifecycle.events import Changed, State
from supervisor.core.outbox import Outbox
from supervisor.core.spec import AlertKind, TaskSettings
from supervisor.core.trouble import Seen, Trouble
from supervisor.core.words import epoch
from supervisor.helper import calls
from supervisor.parent.driver import Driver
from supervisor.parent.helpers import Outcome
from supervisor.parent.known import Known
from supervisor.parent.overdue import Overdue
from supervisor.parent.site import Site

WITHIN = 10.0  # seconds that a target has for one alert
LAST_WORDS = 2.0  # at the end, for what is queued
BEYOND = 0.5  # of the second after the grace period: what is sent then must still be ended

Target = str | tuple[str, ...]  # a URL, or the words of a command


class Alerts:
    def __init__(self, site: Site, driver: Driver) -> None:
        self._site = site
        self._driver = driver
        self._folding = Folding()
        self._boxes: dict[Target, Outbox] = {}
        self._troubles: dict[str, Trouble] = {}
        self._overdue = Overdue(site)
        self._until: float | None = None  # of the last words

    # What happens.

    def changed(self, name: str, change: Changed) -> None:
        if change.new is State.FATAL:
            self._raise("fatal", name, change.reason)

    def said(self, name: str, code: str, text: str) -> None:
        if kind := alerts.kind_of(code):
            self._raise(kind, name, text)

    def run_ended(self, name: str, result: Mapping[str, Any]) -> None:
        self._overdue.run_ended(name, result)
        slot = epoch(result.get("slot"))
        if result.get("state") == "ok" and slot is not None:
            self._trouble(name).ran_well(slot)

    def look(self, now: float) -> None:
        """Once a second: what is overdue, and what is well again."""
        site, wall = self._site, time.time()
        self._troubles = {name: each for name, each in self._troubles.items() if name in site.fleet.children}
        if site.fleet.shutdown:
            return
        self._overdue.look(now, self._seen)
        if not self._targets():
            return
        after = site.plan.supervisor.alert_overdue_after
        for name in site.fleet.children:
            settings = site.fleet.specs[name].settings
            within = settings.expect_within if isinstance(settings, TaskSettings) else None
            for kind, text in self._trouble(name).look(self._seen(name), now, wall, after=after, within=within):
                self._raise(kind, name, text)

    def shift(self, gap: float) -> None:
        for trouble in self._troubles.values():
            trouble.shift(gap, time.time())
        self._overdue.shift(gap)

    # What goes out.

    def tick(self, now: float) -> None:
        self._follow_the_configuration()
        for alert in self._folding.due(now):
            for box in self._boxes.values():
                box.put(alert, now)
        for target, box in self._boxes.items():
            self._tell(box.expire(now))
            if due := box.take(now):
                self._send(target, box, due, now)

    def deadline(self) -> float | None:
        times = [self._folding.deadline(), self._until, *(box.deadline() for box in self._boxes.values())]
        return min((at for at in times if at is not None), default=None)

    def over(self, now: float, by: float) -> bool:
        """All children have ended: whether the last words are spoken, or their time is over. `by`: the grace period."""
        if self._until is None:
            self._until = min(now + LAST_WORDS, by + BEYOND)
            self._folding.hurry(now)
            self.tick(now)
        if now < self._until and not all(box.idle(self._until) for box in self._boxes.values()):
            return False
        if left := sum(len(box.left) for box in self._boxes.values()):
            self._tell(("warning", f"{left} alerts were not delivered before the end"))
        return True

    def note(self) -> str | None:
        """For `status`."""
        return "; ".join(note for box in self._boxes.values() if (note := box.note)) or None

    # Inside.

    def _raise(self, kind: AlertKind, name: str, text: str) -> None:
        now, settings = time.monotonic(), self._site.plan.supervisor
        if self._targets() and kind in settings.alert_on:
            self._trouble(name).raised(kind, now)
            self._folding.add(Alert(kind, name, redact.text(text), time.time()), now)

    def _trouble(self, name: str) -> Trouble:
        return self._troubles.setdefault(name, Trouble())

    def _seen(self, name: str) -> Seen:
        child, known = self._site.fleet.children[name], self._driver.known.get(name) or Known()
        running, waiting = child.state is State.RUNNING, known.facts.get("waiting")
        ready = running and not waiting
        return Seen(
            wanted=child.wanted,
            ready=ready,
            coming=child.state in (State.STARTING, State.BACKOFF) or (running and bool(waiting)),
            well=ready and not child.failures.any and not _paused(known.facts),
            told=child.failures.looping,
            why=str(waiting or child.reason),
            next_slot=epoch(known.facts.get("next_slot")),
        )

    def _targets(self) -> list[Target]:
        settings = self._site.plan.supervisor
        both: tuple[Target | None, ...] = (settings.alert_url, settings.alert_command)
        return [target for target in both if target]

    def _follow_the_configuration(self) -> None:
        """What waits for a target that is there no more goes to one that is new."""
        targets = self._targets()
        if list(self._boxes) != targets:
            left = [entry for target, box in self._boxes.items() if target not in targets for entry in box.left]
            self._boxes = {target: self._boxes.get(target) or Outbox(_shown(target), left) for target in targets}

    def _send(self, target: Target, box: Outbox, alert: Alert, now: float) -> None:
        def done(outcome: Outcome) -> None:
            problem = outcome.error or outcome.value
            self._tell(box.ended(None if problem is None else str(problem), time.monotonic()))

        site = self._site
        body = alerts.body(alert, host=os.uname().nodename, version=__version__, run_id=site.run_id)
        folder = site.plan.supervisor.project_dir
        site.helpers.start("alert", calls.alert, target, body, folder, within=WITHIN, now=now, done=done)

    def _tell(self, said: tuple[str, str] | None) -> None:
        if said:
            self._site.say(*said)


def _shown(target: Target) -> str:
    return redact.url(target) if isinstance(target, str) else os.path.basename(target[0])


def _paused(facts: Mapping[str, Any]) -> bool:
    """Whether the task, or a partition of the consumer, stands still until somebody acts."""
    partitions = facts.get("partitions")
    each = partitions if isinstance(partitions, list) else []
    return bool(facts.get("paused")) or any(isinstance(one, dict) and one.get("paused") for one in each)
