"""Processes in virtual time, and what the parent's driver does with them: fork, listen, look, signal, reap.

The truth about a process is known here; the fleet is told of it as late, as often and in such order as a real
driver might tell it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from heapq import heappush
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

from simulation.oracle import Account
from simulation.promises import Gaps, crash_loop_said, must
from simulation.world import Mix, Process, World
from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.events import State
from supervisor.core.lifecycle.exits import ExitStatus
from supervisor.core.spec import ChildSpec, ConsumerSettings

if TYPE_CHECKING:
    from simulation.operators import Ending

BEGINNING = 1000.0
Entry = tuple[float, int, Callable[..., None], tuple[Any, ...], bool]  # when, tie, what, with, frozen with the machine


class Machine:
    """The half of the simulator below the fleet."""

    fleet: Any
    specs: dict[str, ChildSpec]
    current: str
    feed: Callable[[str, ev.Event], list[Any]]
    agree: Callable[[str], None]

    def __init__(self, rnd: Random, off: frozenset[str]) -> None:
        self.rnd = rnd
        self.mix = Mix(rnd, off)
        self.world = World(rnd, self.mix)
        self.now = BEGINNING
        self.gaps = Gaps()
        self.accounts: dict[str, Account] = {}
        self.real: dict[str, set[Process]] = {}  # what truly lives, or is not reaped yet
        self.stray: dict[str, int] = {}  # how many leftovers truly live
        self.prepares: dict[str, int] = {}  # the number of the preparation under way
        self.stale: dict[str, tuple[Process, ev.Pulse]] = {}
        self.to_fork: list[str] = []
        self.no_fork_until = 0.0
        self.heap: list[Entry] = []
        self.seq = 0
        self.look_every = rnd.uniform(0.3, 0.9)
        self.end: Ending | None = None

    def at(self, delay: float, act: Callable[..., None], *args: Any, world: bool = True) -> None:
        self.seq += 1
        heappush(self.heap, (self.now + delay, self.seq, act, args, world))

    # Orders and signals.

    def drain(self, account: Account) -> None:
        process = account.process
        assert process is not None
        process.draining = True
        if process.obeys_drain and process.hangs_at > self.now and process.until < inf:
            self.at(max(0.0, process.until - self.now) + process.end_takes, self._dies, process, ExitStatus(code=0))
        elif process.stuck_from > self.now and account.policy.drain_timeout is None:
            process.stuck_from = self.now  # a drain that nobody obeys and nothing limits must at least be seen as stuck

    def terminate(self, account: Account) -> None:
        process = account.process
        assert process is not None
        if not process.deaf:
            status = ExitStatus(code=0) if self.rnd.random() < 0.6 else ExitStatus(signal=15)
            self.at(process.end_takes, self._dies, process, status)

    def kill(self, account: Account) -> None:
        process = account.process
        assert process is not None
        process.killed = True
        self.at(0.01 + process.unkillable, self._dies, process, ExitStatus(signal=9))

    def prepare(self, name: str) -> None:
        number = self.prepares[name] = self.prepares.get(name, 0) + 1
        if not self.mix.hits("no_prepare"):
            delay = self.rnd.uniform(0.5, 4.0) if self.mix.hits("slow_prepare") else self.rnd.uniform(0.0, 0.3)
            self.at(delay, self._prepared, name, number)

    def _prepared(self, name: str, number: int) -> None:
        account = self.accounts.get(name)
        if account and self.prepares[name] == number:
            account.prepare_by = None
            account.unblocked(self.now)
            self.feed(name, ev.Prepared("removed"))

    # Processes.

    def fork_all(self) -> None:
        names, self.to_fork = self.to_fork, []
        for name in names:
            child = self.fleet.children.get(name)
            if child is not None and child.to_be_forked:
                self.current = name
                self._fork(name, self.accounts[name])

    def _fork(self, name: str, account: Account) -> None:
        must(account.wanted and self.end is None, "I2, I3 a fork that is not wanted any more")
        must(not self.real[name] and not self.stray[name], "I1 a fork beside what still lives")
        if self.now < self.no_fork_until:
            account.fork_failed(self.now)
            self.feed(name, ev.SpawnFailed("fork: try again"))
            self._follows(account)
            return
        kafka = isinstance(self.specs[name].settings, ConsumerSettings)
        process = self.world.process(name, account.policy, self.now, kafka=kafka)
        self.real[name].add(process)
        account.forked(process, self.now)
        self.feed(name, ev.Spawned(process.pid))
        for at, act in ((process.hello_at, self._hello), (process.ready_at, self._ready), (process.dies_at, self._dies),
                        (process.garbage_at, self._garbage)):  # fmt: skip
            if at < inf:
                self.at(at - self.now, act, process)
        self.at(self.look_every, self._look, process)

    def _known(self, process: Process) -> Account | None:
        """The account, when the parent still has this process."""
        account = self.accounts.get(process.name)
        return account if account and account.process is process else None

    def _hello(self, process: Process) -> None:
        account = self._known(process)
        if account and not process.dead and process.hangs_at > self.now:
            if account.state is State.STARTING and account.ready is None:
                account.start_limit = self.now + account.policy.ready_timeout
            self.feed(process.name, ev.Greeted())

    def _ready(self, process: Process) -> None:
        account = self._known(process)
        if account and not process.dead and process.hangs_at > self.now:
            if account.state is State.STARTING:
                account.ready = account.ready_true = self.now
            self.feed(process.name, ev.BecameReady())

    def _garbage(self, process: Process) -> None:
        account = self._known(process)
        if account and not process.dead:
            account.broken = True
            self.feed(process.name, ev.Broken("no frame"))
            must(account.dumped or account.termed or account.killed, "garbage in the pipe was overlooked")

    def _look(self, process: Process) -> None:
        if not self._known(process):
            return
        self.look_at(process.name)
        if self.mix.hits("twice"):
            self.look_at(process.name)
        account = self._known(process)
        if account:
            account.audit(self.now)
            self.at(self.look_every, self._look, process, world=False)

    def look_at(self, name: str) -> None:
        account = self.accounts[name]
        process = account.process
        assert process is not None
        beat = process.last_beat(self.now)
        pulse = ev.Pulse(beat, process.doing(self.now, self.rnd), process.rss(self.now))
        was = account.state
        self.feed(name, pulse)
        if was is State.RUNNING and (account.state is State.RUNNING or account.cause == "memory"):
            account.look(beat)
            limit = account.policy.max_rss
            fat = beat is not None and limit is not None and pulse.rss > limit
            must(account.state is not State.RUNNING or not fat, "too much memory was overlooked")
        if account.ready is not None and beat is not None and beat >= account.ready:
            hard = account.policy.max_rss_hard
            spared = not (account.killed or account.termed or account.dumped is not None)
            must(not (spared and hard is not None and pulse.rss > hard), "memory over the hard limit was overlooked")
        self.agree(name)
        if self.mix.hits("stale"):
            old = self.stale.get(name)
            if old and old[0] is process:
                self.feed(name, old[1])  # an older look arrives after a newer one
                self.agree(name)
            self.stale[name] = process, pulse

    def _dies(self, process: Process, status: ExitStatus | None = None) -> None:
        if process.dead:
            return
        process.dead = True
        process.hangs_at = min(process.hangs_at, self.now)
        if process.leftovers:
            self.stray[process.name] += 1
            self.at(process.leftovers, self._stray_dies, process.name)
        delay = self.rnd.uniform(0.0, 0.2) if self.mix.hits("slow_exit") else 0.0
        self.at(delay, self._exited, process, replace(status or process.status, member=process.member), world=False)

    def _stray_dies(self, name: str) -> None:
        self.stray[name] -= 1
        account = self.accounts.get(name)
        if account and account.left and not self.stray[name]:
            account.left = False
            account.unblocked(self.now)
            self.feed(name, ev.Cleared())

    def _exited(self, process: Process, status: ExitStatus) -> None:
        name = process.name
        account = self.accounts[name]
        self.look_at(name)  # what it last said is read before it is buried
        self.real[name].discard(process)
        looped = account.looping
        account.exited(status, self.now, left=bool(self.stray[name]))
        actions = self.feed(name, ev.Exited(status, leftovers=bool(self.stray[name])))
        self._follows(account)
        prepared = any(isinstance(action, ev.Prepare) for action in actions)
        must(
            prepared == bool(status.member and status.code != 0), "a dead member that nobody was told of, or a live one"
        )
        if account.looping and not looped:
            must(crash_loop_said(actions), "a crash loop, and nothing is said")
            if account.policy.on_crash_loop == "exit" or account.policy.critical:
                must(any(isinstance(action, ev.Escalate) for action in actions), "a crash loop was not escalated")
        if account.fatal and account.policy.critical:
            must(any(isinstance(action, ev.Escalate) for action in actions), "a critical child is fatal, in silence")
        if self.end:
            self.end.check()

    def _follows(self, account: Account) -> None:
        """What comes after an end comes at once, or has a date."""
        if account.start_from is not None and account.start_by is not None:
            must(account.start_from <= self.now or account.state is State.BACKOFF, f"{account.state}, not backoff")
            must(account.start_by > self.now or account.state is State.STARTING, f"{account.state}, not starting")

    # For a calm time.

    def is_fault(self, entry: Entry) -> bool:
        """A death out of itself, or garbage in the pipe."""
        _, _, act, args, _ = entry
        return act == self._garbage or (act == self._dies and len(args) == 1)

    def is_end(self, entry: Entry) -> bool:
        return entry[2] == self._dies or entry[2] == self._stray_dies
