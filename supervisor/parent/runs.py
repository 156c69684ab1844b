"""RUNS IN THE PARENT: runs that somebody asked for by hand, and who waits for their end.

A task that is disabled gets a process for this one run, which makes no scheduled one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from supervisor.core import names
from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.events import State
from supervisor.core.wire.control import Refusal
from supervisor.core.wire.messages import Order
from supervisor.parent.driver import Driver
from supervisor.parent.server import Respond
from supervisor.parent.site import Site


@dataclass(slots=True)
class _Wanted:
    name: str
    order: Order
    sent: bool = False
    waits: Respond | None = None


class Runs:
    def __init__(self, site: Site, driver: Driver) -> None:
        self._site = site
        self._driver = driver
        self._wanted: dict[str, _Wanted] = {}  # by the id that the order carries and the result brings back
        self._ids = count(1)

    def start(self, name: str, slot: float | None, respond: Respond, *, wait: bool, kind: str = "manual") -> None:
        """Have the task run once, now or as soon as its process is ready. `kind`: manual, backfill."""
        child = self._site.fleet.children[name]
        if refusal := self._refusal(name, child.state):
            respond.refuse(refusal)
            return
        run_id = f"{self._site.run_id[:8]}-{next(self._ids)}"
        order = Order("run", {"id": run_id, "kind": kind} | ({} if slot is None else {"slot": slot}))
        self._wanted[run_id] = _Wanted(name, order, waits=respond if wait else None)
        if not wait:
            respond.send(202, {"run": {"id": run_id, "task": name}})
        if child.state is State.RUNNING:
            self.ready(name)
        elif not child.wanted:
            self._site.manual.add(name)
            now = time.monotonic()
            self._driver.act(self._site.fleet.want(name, up=True, why="one run by hand", now=now), now)

    def ready(self, name: str) -> None:
        """Its process takes orders: give it those that wait."""
        for wanted in [w for w in self._wanted.values() if w.name == name and not w.sent]:
            wanted.sent = self._driver.order(name, wanted.order)
            self._driver.listen(name, on=True)

    def waits_for(self, name: str) -> bool:
        """Whether a run that was asked for has not ended yet."""
        return any(wanted.name == name for wanted in self._wanted.values())

    def ended(self, name: str, result: Mapping[str, Any]) -> None:
        run_id = result.get("id")
        wanted = self._wanted.pop(run_id, None) if isinstance(run_id, str) else None
        if wanted and wanted.waits:
            wanted.waits.send(200, {"run": dict(result)})
        if not self.waits_for(name):
            if self._site.fleet.children[name].state is not State.STARTING:  # it tells of its predecessor's run
                self._driver.listen(name, on=False)
            self._send_home(name)

    def process_ended(self, name: str) -> None:
        """Its process is gone: what was ordered of it is lost. What was not yet goes to the next process."""
        last = self._driver.known[name].last_exit
        self._lose(name, last.reason if last else "its process ended", sent=True)

    def no_process(self, name: str, why: str) -> None:
        """There will be none for a while: who waits shall not wait for that."""
        self._lose(name, why, sent=False)

    def _lose(self, name: str, why: str, *, sent: bool) -> None:
        for run_id, wanted in [(i, w) for i, w in self._wanted.items() if w.name == name and w.sent is sent]:
            del self._wanted[run_id]
            if wanted.waits:
                wanted.waits.send(200, {"run": {"id": run_id, "task": name, "state": "lost", "error": why}})
        self._send_home(name)

    def _send_home(self, name: str) -> None:
        """The one run of a disabled task is over: so is its process. Enabled meanwhile, it gets a proper one."""
        if name not in self._site.manual or any(w.name == name for w in self._wanted.values()):
            return
        self._site.manual.discard(name)
        now, why = time.monotonic(), "its one run is over"
        if self._site.enabled(self._site.fleet.specs[name]):
            self._driver.feed(name, ev.Restart(why=why), now)
        else:
            self._driver.act(self._site.fleet.want(name, up=False, why=why, now=now), now)

    def _refusal(self, name: str, state: State) -> Refusal | None:
        if self._site.fleet.specs[name].kind != "task":
            return Refusal(400, names.no_task(name))
        if state in (State.BACKOFF, State.FATAL):
            hint = f"see why: supervisor explain {name}; try again: supervisor restart {name}"
            return Refusal(409, f"{name} is in {state.value}: it has no process to run in", hint)
        return None
