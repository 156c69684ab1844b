"""RUNS IN THE PARENT: what the driver asks of the supervisor: a fork with everything it carries, an eviction, words."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import cached_property

from supervisor.child.birth import Birth
from supervisor.child.main import main as child_main
from supervisor.core.alerts import kind_of
from supervisor.core.config import redact
from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.events import State
from supervisor.core.spec import ChildSpec, ConsumerSettings, Plan, SupervisorSettings
from supervisor.core.wire.messages import Run
from supervisor.core.wire.messages import Stacks as StacksPart
from supervisor.helper import calls
from supervisor.parent import crashes, progress
from supervisor.parent.alerts import Alerts
from supervisor.parent.code import CodeWatch
from supervisor.parent.driver import Driver
from supervisor.parent.guarding import Guarding
from supervisor.parent.helpers import Outcome
from supervisor.parent.known import Known
from supervisor.parent.poison import Poisons
from supervisor.parent.process import Ends, Process, fork
from supervisor.parent.runs import Runs
from supervisor.parent.site import Site, moment
from supervisor.parent.stacks import Stacks
from supervisor.parent.telling import tell

GONE = ("evicted", "unknown member")
EVICT_WITHIN = 2.0  # seconds; the fleet itself waits a little longer, so that an answer in time is heard


class Around:
    """`driver`, `runs`, `stacks` and `alerts` are set once, when they exist: each needs another."""

    driver: Driver
    runs: Runs
    stacks: Stacks
    alerts: Alerts

    def __init__(self, site: Site, guarding: Guarding) -> None:
        self._site = site
        self.guarding = guarding
        self.code = CodeWatch(site)
        self.poisons = Poisons(site, lambda name, order: self.driver.order(name, order))
        self._forked_at: dict[str, float] = {}
        self._made: tuple[Plan, SupervisorSettings] | None = None

    def fork(self, name: str) -> Process:
        site, child = self._site, self._site.fleet.children[name]
        spec, known = site.fleet.specs[name], self.driver.known.get(name)
        parent_pid, poison, settings = os.getpid(), self.poisons.orders(name), self._settings()
        self._prepare_progress(spec)

        def start(ends: Ends) -> None:
            child_main(
                Birth(
                    spec=spec,
                    supervisor=settings,
                    generation=child.generation,
                    previous=known.last_exit if known else None,
                    parent_pid=parent_pid,
                    messages=ends.messages,
                    orders=ends.orders,
                    page=ends.page,
                    dump=ends.dump,
                    console=site.console,
                    nofile=site.nofile,
                    extra={"manual": name in site.manual, "held": spec.group in site.held, **poison},
                )
            )

        self.code.forked(name)
        return fork(name, start)

    def born(self, name: str, process: Process) -> None:
        self.guarding.watch(process.pid)
        self._forked_at[name] = time.monotonic()
        self._site.happened("info", f"pid {process.pid}", child=name, event="started", pid=process.pid)

    def _prepare_progress(self, spec: ChildSpec) -> None:
        settings = spec.settings
        if isinstance(settings, ConsumerSettings) and settings.delivery == "at_least_once":
            said = progress.prepare(self._site.paths, spec.group, settings.processes)
            if said:
                self._site.happened("warning", said, child=spec.name, event="progress_page")

    def _settings(self) -> SupervisorSettings:
        """As they are in force here; made once, so that no child writes to the pages of their names."""
        plan = self._site.plan
        if self._made is None or self._made[0] is not plan:
            self._made = plan, replace(plan.supervisor, state_dir=self._site.paths.root)
        return self._made[1]

    def evict(self, name: str, member: str) -> None:
        settings = self._site.fleet.specs[name].settings
        now = time.monotonic()
        if not isinstance(settings, ConsumerSettings) or not self._worth_evicting(settings):
            self.driver.feed(name, ev.Prepared(""), now)
            return

        def done(outcome: Outcome) -> None:
            said = outcome.error or str(outcome.value)
            gone = said in GONE
            if not gone:
                self._not_evicted(name, settings.group_id, said)
            self.driver.feed(name, ev.Prepared(f"dead member {member}: {said}" if gone else ""), time.monotonic())

        where = settings.bootstrap_servers, dict(settings.properties), settings.group_id
        arguments = (*where, member, EVICT_WITHIN)
        self._site.helpers.start(f"evict {name}", calls.evict, *arguments, within=EVICT_WITHIN, now=now, done=done)

    def _not_evicted(self, name: str, group: str, why: str) -> None:
        """It goes on without; people see why the records of some partitions do not."""
        text = f'its dead member is still in group "{group}" ({why}): its partitions wait for the session timeout'
        self.driver.known[name].not_evicted = text
        self._site.say("warning", text, child=name, event="not_evicted")

    def _worth_evicting(self, settings: ConsumerSettings) -> bool:
        """The demo broker's session timeout is short, and at the end nobody waits for the dead member's partitions."""
        return settings.bootstrap_servers != "embedded" and self._site.fleet.shutdown is None

    def changed(self, name: str, change: ev.Changed) -> None:
        child, now = self._site.fleet.children[name], time.monotonic()
        lived = now - self._forked_at[name] if change.new is State.BACKOFF and name in self._forked_at else None
        fields = {"from_": change.old.value, "to": change.new.value, "reason": change.reason or None}
        if told := tell(change, child, now, lived):
            self._site.happened(change.level, told.text, child=name, event=told.event, pid=child.pid, **fields)
        else:
            self._site.events.add(change.level, name, change.new.value, event=change.new.value, **fields)
        if change.new is State.RUNNING:
            self.runs.ready(name)
        elif child.state in (State.BACKOFF, State.FATAL, State.STOPPED):  # as it is: a first restart comes at once
            self.runs.no_process(name, change.reason)
        self.alerts.changed(name, change)

    def said(self, name: str, level: str, code: str, text: str) -> None:
        self._site.happened(level, text, child=name, event=code or None)
        self.alerts.said(name, code, text)

    def noticed(self, name: str, level: str, code: str, text: str) -> None:
        """Of what is alerted the child's own log tells already, and in more words; once is enough for people."""
        if kind_of(code):
            self._site.events.add(level, name, text, event=code)
            self.alerts.said(name, code, text)
        else:
            self._site.happened(level, text, child=name, event=code or None)

    def run_ended(self, name: str, run: Run) -> None:
        self.driver.known[name].facts["last_run"] = dict(run.result)
        self.runs.ended(name, run.result)
        self.alerts.run_ended(name, run.result)

    def stacks_came(self, name: str, part: StacksPart) -> None:
        self.stacks.heard(name, part)

    def ended(self, name: str, process: Process, known: Known) -> None:
        self.guarding.forget(process.pid)
        self.runs.process_ended(name)
        last, child = known.last_exit, self._site.fleet.children.get(name)
        known.lived = time.monotonic() - self._forked_at.pop(name, time.monotonic())
        if last is None or child is None:
            return
        if self._site.fleet.specs[name].kind == "task":
            known.lose_run(name, time.monotonic())
        self.poisons.died(name, last)
        if crashes.worth(last):
            spec, log = self._site.fleet.specs[name], self._site.paths.log(name)
            about = crashes.report(child, spec, known, last, pid=process.pid, log=log, env=self._env, at=moment())
            crashes.keep(self._site.paths.crashes, about)

    @cached_property
    def _env(self) -> dict[str, str]:
        """Ours, which does not change, without its secrets: a replacement is not to wait until they are found again."""
        return redact.environment(os.environ)

    def escalate(self, reason: str) -> None:
        self._site.escalation = self._site.escalation or reason
