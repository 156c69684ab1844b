"""RUNS IN THE PARENT: the one loop. Everything enters by one wait, becomes an event, leaves as an action.

Order of a turn: stall guard, signals, messages, exits, helpers, clients, deadlines, and forks last, when every
exit of the turn is reaped. At rest it wakes once a second, however many children beat.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby

from supervisor.core.errors import Exit
from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.events import State
from supervisor.core.lifecycle.fleet import BEYOND
from supervisor.parent import state_folder
from supervisor.parent.alerts import Alerts
from supervisor.parent.code import CodeWatch
from supervisor.parent.driver import Driver
from supervisor.parent.guarding import Guarding
from supervisor.parent.keepers import Keepers
from supervisor.parent.lock import Lock
from supervisor.parent.notify import summary
from supervisor.parent.poller import Lane
from supervisor.parent.reloading import Reloading
from supervisor.parent.saving import Saving
from supervisor.parent.server import Server
from supervisor.parent.signals import ENDING, Signals
from supervisor.parent.site import Site
from supervisor.parent.stacks import Stacks
from supervisor.parent.strangers import Strangers

EVERY = 1.0  # seconds between looks at all children
STALL = 1.0  # later than this the loop itself was frozen, and nobody is judged for that time


@dataclass(kw_only=True)
class Supervisor:
    """The parts, each with a room of its own, and the turn that takes them in order."""

    site: Site
    driver: Driver
    signals: Signals
    strangers: Strangers
    guarding: Guarding
    server: Server
    reloading: Reloading
    saving: Saving
    code: CodeWatch
    alerts: Alerts
    stacks: Stacks
    lock: Lock
    keepers: Keepers
    _next_look: float = 0.0
    _announced: bool = False

    def __post_init__(self) -> None:
        self.fleet = self.site.fleet
        driver, each = self.driver, self._each
        self._lanes: dict[Lane, Callable[[list[tuple[int, int]], float], None]] = {
            Lane.SIGNAL: self._on_signals,
            Lane.MESSAGE: lambda ready, now: each(ready, lambda fd: driver.on_message(fd, now)),
            Lane.EXIT: lambda ready, now: driver.on_exits([fd for fd, _ in ready], now),
            Lane.STRANGER: lambda ready, now: each(ready, lambda fd: driver.on_stranger(fd, now)),
            Lane.GUARD: lambda ready, now: self.guarding.died(now),
            Lane.HELPER: self._on_helpers,
            Lane.CONTROL: self._on_clients,
        }

    def run(self) -> int:
        """Supervise until told to stop; return the exit code."""
        self.guarding.keep(time.monotonic())
        now = time.monotonic()
        self.driver.act(self.fleet.apply(self.site.plan.children, self.site.enabled, now), now)
        last = now
        while not self._over(last):
            timeout = self._timeout(last)
            ready = self.site.poller.wait(timeout)
            now = time.monotonic()
            self._guard_against_stall(now - last - timeout, now)
            self._turn(ready, now)
            last = now
        return self._exit_code()

    def _turn(self, ready: list[tuple[Lane, int, int]], now: float) -> None:
        for lane, group in groupby(ready, key=lambda each: each[0]):
            self._lanes[lane]([(fd, mask) for _, fd, mask in group], now)
        if now >= self._next_look:
            self._look(now)
        self.site.helpers.expire(now)
        self.server.expire(now)
        self.stacks.expire(now)
        self.driver.tick(now)
        self.driver.fork_pending(now)
        self.site.notify.tick(now, up=not self.driver.forks_pending)
        self.alerts.tick(now)
        self._announce(now)

    def _timeout(self, now: float) -> float:
        if self.driver.forks_pending:
            return 0.0
        parts = (self.site.helpers, self.server, self.alerts, self.stacks, self.site.notify)
        deadlines = (self.fleet.wakes_at(), self._next_look, *(part.deadline() for part in parts))
        return max(0.0, min(at for at in deadlines if at is not None) - now)

    def _guard_against_stall(self, late: float, now: float) -> None:
        if late < STALL:
            return
        self.site.stalls += 1
        self.site.longest_stall = max(self.site.longest_stall, late)
        self.fleet.shift(late, now)
        self.site.helpers.shift(late)
        self.alerts.shift(late)
        self.stacks.shift(late)
        self.site.say("warning", f"the supervisor itself was frozen for {late:.1f} s; all deadlines move by that")

    def _look(self, now: float) -> None:
        """Once a second: whatever has no descriptor that would wake us."""
        self._next_look = now + EVERY
        self.driver.look_at_all(now)
        self.strangers.reap_dead()
        self.reloading.watch()
        self.reloading.settle_toggles()
        self.saving.save(now)
        self.alerts.look(now)
        if self.site.notify.wanted and not self.fleet.shutdown:
            self.site.notify.status(summary(self.fleet))
        for name in self.code.changed():
            self.driver.feed(name, ev.Restart(why="its code changed"), now)
        self.driver.act(self.fleet.roll(self._has_joined, now), now)
        self.site.journal.alive(time.time())
        self.guarding.keep(now)
        self._check_state_folder(now)
        if self.keepers.all_gone(now) and not self.fleet.shutdown:
            self.stop("the last web process has gone", kill=False)

    def _has_joined(self, name: str) -> bool:
        """Of a consumer: partitions came to its process, or it says that none is left for it."""
        return self.driver.known[name].facts.get("joined") is True

    def _check_state_folder(self, now: float) -> None:
        """Somebody may have removed it, or parts of it. The lock first: without it nothing here is ours to make."""
        held = self.lock.check()
        if held == "lost":
            self.stop("another supervisor has taken the lock of this state folder", kill=True)
            return
        if held == "renewed":
            state_folder.restore(self.site.paths, os.geteuid())
            self.site.say("warning", f"{self.site.paths.root}: the state folder was removed; made again")
            for name in list(self.fleet.children):  # they write their logs and ledgers into files without a name
                self.driver.feed(name, ev.Restart(why="the state folder was removed"), now)
        self.server.check()

    def _on_signals(self, ready: list[tuple[int, int]], now: float) -> None:
        for number in self.signals.take():
            if number in ENDING:
                self.stop(signal.Signals(number).name, kill=False)
            elif number == signal.SIGHUP:
                self.reloading.request(dry_run=False, reply=lambda body: None)
            elif number == signal.SIGCHLD:
                self.strangers.reap_dead()

    def _on_helpers(self, ready: list[tuple[int, int]], now: float) -> None:
        self._each(ready, self.site.helpers.on_event)
        self.strangers.find(())  # a check imports user code, and that may leave anything behind

    def _on_clients(self, ready: list[tuple[int, int]], now: float) -> None:
        for fd, mask in ready:
            self.server.on_event(fd, mask, now)

    @staticmethod
    def _each(ready: Iterable[tuple[int, int]], call: Callable[[int], None]) -> None:
        for fd, _ in ready:
            call(fd)

    # The end.

    def stop(self, why: str, kill: bool) -> None:
        """Begin to stop, or hasten it."""
        now, grace = time.monotonic(), 0.0 if kill else self.site.plan.supervisor.grace_period
        alive = ", ".join(child.name for child in self.fleet.living()) or "nothing runs"
        if self.fleet.shutdown is None:
            self.site.happened("info", f"stopping: {why}, up to {grace:g} s ({alive})", event="stopping")
            self.site.notify.stopping(why)
        else:
            how = "killing" if self.fleet.shutdown.rank > 1 else "two seconds are left"
            self.site.say("warning", f"{why} again: {how} ({alive})", event="stopping")
        self.driver.act(self.fleet.stop(now, grace, why), now)

    def _over(self, now: float) -> bool:
        if self.site.escalation and self.fleet.shutdown is None:
            self.site.say("error", f"stopping for good: {self.site.escalation}", event="fatal")
            self.stop("for good", kill=False)
        ended = self.fleet.done and not self.strangers and self._last_words(now)
        return ended or self.fleet.overdue(now) or self._strangers_overdue(now)

    def _strangers_overdue(self, now: float) -> bool:
        """Of no child any more, so the fleet does not know of them; and SIGKILL did not end them."""
        shutdown = self.fleet.shutdown
        return shutdown is not None and bool(self.strangers) and now >= shutdown.by + BEYOND

    def _last_words(self, now: float) -> bool:
        """Whether the alerts are sent, or are waited for no more."""
        shutdown = self.fleet.shutdown
        return shutdown is None or shutdown.rank > 2 or self.alerts.over(now, shutdown.by)

    def _exit_code(self) -> int:
        unkillable = [f"{child.name} (pid {child.pid})" for child in self.fleet.living()]
        unkillable += [f"pid {pid} (left by {', '.join(names) or 'a helper'})" for pid, names in self.strangers.left()]
        if unkillable:
            self.site.say("error", f"left behind, cannot be killed: {', '.join(unkillable)}")
        took = time.monotonic() - (self.fleet.shutdown.began if self.fleet.shutdown else time.monotonic())
        self.site.happened("info", f"stopped in {took:.2f}s", event="stopped")
        clean = not (unkillable or self.fleet.had_to_kill or self.site.escalation)
        return Exit.OK if clean else Exit.FAILED

    # Small things.

    def _announce(self, now: float) -> None:
        if self._announced or self.fleet.shutdown:
            return
        wanted = [child for child in self.fleet.children.values() if child.wanted]
        if all(child.state is State.RUNNING for child in wanted):
            self._announced = True
            self.site.notify.status(summary(self.fleet))
            took = now - self.site.started.mono
            self.site.say("info", f"all {len(wanted)} ready in {took:.2f}s", event="ready")


def notes_of(site: Site, server: Server, lock: Lock) -> list[Callable[[], str | None]]:
    """What goes wrong beside the children, for `status`."""
    return [
        lambda: site.toggles.note,
        lambda: "; ".join(site.fleet.rolling.notes()) or None,
        lambda: site.journal.problem,
        lambda: site.events.problem,
        lambda: site.output.problem,
        lambda: server.problem,
        lambda: lock.problem,
    ]
