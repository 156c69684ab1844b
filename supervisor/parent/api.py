"""RUNS IN THE PARENT: answers to the control socket. A fixed table of commands; none names code."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from supervisor import __version__
from supervisor.core.lifecycle.events import How
from supervisor.core.overrides import Override
from supervisor.core.spec import ChildSpec
from supervisor.core.wire import control
from supervisor.core.wire.control import Command, Refusal, no_such_child
from supervisor.parent import chaos, crashes, holding
from supervisor.parent.clients import Peer
from supervisor.parent.driver import Driver
from supervisor.parent.known import Known
from supervisor.parent.reloading import Reloading
from supervisor.parent.runs import Runs
from supervisor.parent.saving import Saving
from supervisor.parent.server import Respond
from supervisor.parent.site import Site, moment
from supervisor.parent.snapshot import Missing, child_status, detail, iso, missing_broker, supervisor_status
from supervisor.parent.stacks import Stacks

Stop = Callable[[str, bool], None]


class Api:
    def __init__(
        self,
        site: Site,
        driver: Driver,
        runs: Runs,
        stacks: Stacks,
        reloading: Reloading,
        saving: Saving,
        stop: Stop,
    ) -> None:
        self._site = site
        self._driver = driver
        self._runs = runs
        self._stacks = stacks
        self._reloading = reloading
        self._saving = saving
        self._stop = stop
        self.extra_notes: list[Callable[[], str | None]] = []  # what else `status` has to say

    def answer(self, command: Command, peer: Peer, respond: Respond) -> None:
        name = getattr(command, "name", None)
        if name is not None and not self._site.members(name):
            respond.refuse(no_such_child(name, {spec.group for spec in self._site.fleet.specs.values()}))
        elif self._site.fleet.shutdown and control.changes(command) and not isinstance(command, control.Stop):
            respond.refuse(Refusal(503, "the supervisor is stopping"))
        else:
            self._carry_out(command, peer, respond)

    def _carry_out(self, command: Command, peer: Peer, respond: Respond) -> None:
        match command:
            case control.Status():
                respond.send(200, self.status())
            case control.ChildDetail(name):
                respond.send(200, self._detail(name))
            case control.Restart(name, now):
                respond.send(200, self._restart(name, peer, now=now))
            case control.Enable(name, note, now):
                self._toggle(name, peer, respond, enabled=True, seconds=None, note=note, now=now)
            case control.Disable(name, seconds, note, now):
                self._toggle(name, peer, respond, enabled=False, seconds=seconds, note=note, now=now)
            case control.Run(name, slot, wait, kind):
                self._runs.start(self._site.members(name)[0], slot, respond, wait=wait, kind=kind)
            case control.Stack(name):
                self._stacks.ask(name, respond)
            case control.Chaos(name, how):
                _reply(respond, chaos.harm(self._site, self._driver, name, how))
            case control.Hold(name, on):
                _reply(respond, holding.hold(self._site, self._driver, name, on=on, who=_who(peer)))
            case control.Reload(dry_run):
                self._reloading.request(dry_run=dry_run, reply=lambda body: _reloaded(respond, body))
            case control.Stop(now):
                respond.send(202, {"stopping": True})
                self._stop(f"stop asked for by {_who(peer)}", now)

    def status(self) -> dict[str, Any]:
        """Everything, after a look at every child: no answer is older than the question."""
        site, at = self._site, moment()
        self._driver.look_at_all(at.mono)
        supervisor = site.plan.supervisor
        fields = {
            "state": "stopping" if site.fleet.shutdown else "running",
            "pid": os.getpid(),
            "version": __version__,
            "since": iso(site.started.wall),
            "uptime": at.mono - site.started.mono,
            "run_id": site.run_id,
            "state_dir": site.paths.root,
            "config": {
                "file": supervisor.config_file,
                "digest": site.plan.digest,
                "loaded": iso(site.loaded),
                "problems": site.problems or None,
            },
            "stalls": site.stalls,
            "loop_gap": site.longest_stall,
        }
        more = [note for ask in self.extra_notes if (note := ask())]
        return supervisor_status(fields, [*site.notes, *more], [self._child(name) for name in site.fleet.children])

    def _child(self, name: str) -> dict[str, Any]:
        site = self._site
        child, spec = site.fleet.children[name], site.fleet.specs[name]
        override = site.toggles.current.get(spec.group)
        known = self._driver.known.get(name) or Known()
        enabled, missing = site.enabled(spec), self._missing(spec)
        pause = site.held.get(spec.group)
        return child_status(child, spec, known, override, moment(), enabled=enabled, missing=missing, pause=pause)

    def _missing(self, spec: ChildSpec) -> Missing | None:
        fleet = self._site.fleet
        first = next(iter(fleet.children.values()))  # the broker, if there is one
        about = fleet.specs[first.name]
        return missing_broker(spec, first, enabled=self._site.enabled(about)) if about.kind == "broker" else None

    def _detail(self, name: str) -> dict[str, Any]:
        self._driver.look_at_all(time.monotonic())
        members = []
        for member in self._site.members(name):
            child, known = self._site.fleet.children[member], self._driver.known.get(member) or Known()
            spec = self._site.fleet.specs[member]
            more = {"section": crashes.section(spec), "target": crashes.target(spec)}
            members.append(self._child(member) | detail(child, known, moment()) | more)
        return members[0] if len(members) == 1 else {"name": name, "members": members}

    def _restart(self, name: str, peer: Peer, *, now: bool) -> dict[str, Any]:
        at, members = time.monotonic(), self._site.members(name)
        how = How.STOP if now else How.DRAIN
        fleet = self._site.fleet
        self._driver.act(fleet.restart(members, f"restart asked for by {_who(peer)}", at, how), at)
        if fleet.specs[members[0]].group not in fleet.rolling:
            return {"restarting": members}
        text = f"{name}: restarting {len(members)} processes one after the other; see: supervisor events -f {name}"
        return {"restarting": members, "text": text}

    def _toggle(
        self, name: str, peer: Peer, respond: Respond, *, enabled: bool, seconds: float | None, note: str, now: bool
    ) -> None:
        """In force at once; answered when it is on the disk, so that an answer means: also over kill -9."""
        site, at = self._site, moment()
        group = site.fleet.specs[site.members(name)[0]].group
        until = None if seconds is None else at.wall + seconds
        configured = site.configured().get(group, True)
        override = Override(
            enabled=enabled, who=_who(peer), since=at.wall, until=until, note=note, config_enabled=configured
        )
        site.toggles.set(group, override)
        site.journal.toggle(group, enabled=enabled, now=at.wall)
        what = "enabled" if enabled else "disabled"
        why = f"{what} by {_who(peer)}" + (f": {note}" if note else "")
        site.events.add("info", group, why, event=what)
        how = How.STOP if now else How.DRAIN
        for member in site.members(group):
            self._driver.act(site.fleet.want(member, up=enabled, how=how, why=why, now=at.mono), at.mono)
        body = {"name": group, "enabled": enabled, "until": None if until is None else iso(until)}
        self._saving.save(at.mono, lambda problem: _toggled(respond, body, problem))


def _toggled(respond: Respond, body: dict[str, Any], problem: str | None) -> None:
    if problem is None:
        respond.send(200, body)
    else:
        text = f"{body['name']} is {'on' if body['enabled'] else 'off'} now, but that could not be saved: {problem}"
        respond.send(500, {"error": text, "suggestion": "a restart of the supervisor would lose it; free the disk"})


def _reply(respond: Respond, answer: dict[str, Any] | Refusal) -> None:
    if isinstance(answer, Refusal):
        respond.refuse(answer)
    else:
        respond.send(200, answer)


def _reloaded(respond: Respond, body: dict[str, Any]) -> None:
    respond.send(200, body)


def _who(peer: Peer) -> str:
    """From the file alone: a directory server that is down must not block us."""
    try:
        with open("/etc/passwd", encoding="utf-8", errors="replace") as users:
            names = {line.split(":")[2]: line.split(":")[0] for line in users if line.count(":") >= 6}
    except OSError:
        names = {}
    return names.get(str(peer.uid), f"uid {peer.uid}")
