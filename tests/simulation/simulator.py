"""Drive the real Fleet through random lives in virtual time, and hold it to its promises after every step.

One seed is one life of a supervisor: its own policies, its own mix of faults, calm times in which everything wanted
must come up, and a shutdown. A step is one event given to the fleet. The same seed gives the same life.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop
from random import Random
from typing import Any

from simulation.machine import BEGINNING, Machine
from simulation.operators import Operators
from simulation.oracle import Account
from simulation.promises import Violation, must
from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.fleet import Fleet
from supervisor.core.spec import ChildSpec, Settings

STEPS = 1500  # of one life, about
LONGEST = BEGINNING + 3000.0  # seconds: when everything is switched off there are no steps


@dataclass(frozen=True, slots=True)
class Life:
    """What came of one seed."""

    seed: int
    steps: int
    digest: int
    virtual: float  # seconds lived
    failure: str = ""
    child: str = ""
    trace: tuple[tuple[str, str], ...] = ()  # (child, line)


class Simulator(Machine):
    """One seed."""

    def __init__(self, seed: int, *, fleet: Callable[..., Any] = Fleet, off: frozenset[str] = frozenset(),
                 record: bool = False) -> None:  # fmt: skip
        super().__init__(Random(seed), off)
        self.seed = seed
        self.fleet = fleet(self.rnd.random)
        self.steps = self.digest = 0
        self.specs: dict[str, ChildSpec] = {}
        self.known: dict[str, Settings] = {}  # of every child the fleet has, the removed ones too
        self.enabled: dict[str, bool] = {}
        self.current = ""  # the child at hand
        self.ticks_at_once = 0
        self.operators = Operators(self)
        self.over = False
        self.lines: list[tuple[str, str]] | None = [] if record else None

    # The loop.

    def run(self, steps: int = STEPS) -> Life:
        failure = ""
        try:
            self.operators.begin()
            while not self.over:
                self._turn()
                if self.end is None and (self.steps >= steps or self.now > LONGEST):
                    self.operators.stop()
        except Violation as error:
            failure = str(error)
        return Life(self.seed, self.steps, self.digest, self.now - BEGINNING, failure, self.current,
                    tuple(self.lines or ()))  # fmt: skip

    def _turn(self) -> None:
        """Messages and exits before deadlines, forks last: the order of the driver's turn."""
        at = self.heap[0][0]
        wake = self.fleet.wakes_at()
        if at <= self.now or wake is None or at <= wake:
            if at > self.now:
                if self.to_fork:
                    self.fork_all()
                    return
                self._go_to(at)
            _, _, act, args, _ = heappop(self.heap)
            act(*args)
        elif self.to_fork:
            self.fork_all()
        else:
            if wake > self.now:
                self._go_to(wake)
                if self.heap[0][0] <= self.now:
                    return
            self.tick()

    def _go_to(self, at: float) -> None:
        self.now = at + (self.rnd.uniform(0.0, 0.3) if self.mix.hits("late") else 0.0)
        self.ticks_at_once = 0

    def tick(self) -> None:
        self.ticks_at_once += 1
        must(self.ticks_at_once <= 5, "L4 ticks without time passing")
        for name, child in list(self.fleet.children.items()):
            at = child.wakes_at()
            if at is not None and at <= self.now and child.alive:
                self.current = name
                self.look_at(name)  # the black box first: what was read a second ago condemns nobody
        self.steps += 1
        before = {name for name, account in self.accounts.items() if account.process is None and not account.left}
        self.take(self.fleet.tick(self.now))
        for name in list(self.accounts):
            self.agree(name)
            account = self.accounts.get(name)
            ended = account is not None and account.process is None and not account.left
            must(name in self.specs or not ended or name not in before, "a removed child was not forgotten")
        if self.end:
            self.end.check()

    def feed(self, name: str, event: ev.Event) -> list[Any]:
        """One step of one child, and everything that must hold after it."""
        self.current = name
        self.steps += 1
        if self.lines is not None:
            self.note(name, f"← {event}")
        actions = self.fleet.step(name, event, self.now)
        if actions:
            self.take(actions)
        if not isinstance(event, ev.Pulse):
            self.agree(name)
        self.digest = hash((self.digest, self.now, len(actions), self.steps))
        return [action for owner, action in actions if owner == name]

    def note(self, name: str, text: str) -> None:
        if self.lines is not None:
            self.lines.append((name, f"{self.now:10.3f}  {name:4} {text}"))

    def agree(self, name: str) -> None:
        self.current = name
        child, account = self.fleet.children.get(name), self.accounts[name]
        if child is None:
            must(name not in self.specs, "a configured child was forgotten")
            must(account.process is None and not account.left, "I1 a child was forgotten while something of it lives")
            del self.accounts[name], self.known[name]
            return
        must(child.state is account.state, "the state changed without a word")
        account.agree(child)

    # Actions.

    def take(self, actions: list[tuple[str, Any]]) -> None:
        for name, action in actions:
            self.current = name
            if self.lines is not None:
                self.note(name, f"  → {action}")
            account = self.accounts[name]
            match action:
                case ev.Changed():
                    must(action.old is account.state, f"{action} does not follow from {account.state}")
                    must(action.new is not action.old, "a change that changes nothing")
                    account.state = action.new
                case ev.Spawn():
                    account.spawn(self.now)
                    self.to_fork.append(name)
                case ev.Dump():
                    account.condemned(self.fleet.children[name].reason, self.now)
                case ev.Drain():
                    self._too_big(account)
                    account.drain(self.now)
                    self.drain(account)
                case ev.Terminate():
                    if self.end:
                        self.end.told(name)
                    account.terminate(self.now)
                    self.terminate(account)
                case ev.Kill():
                    if self.end:
                        self.end.killed = True
                    self._far_too_big(account)
                    account.kill(self.now)
                    self.kill(account)
                case ev.Prepare():
                    self.prepare(name)

    def _far_too_big(self, account: Account) -> None:
        """A process at work, or finishing its work, is not waited for when it is over its hard limit."""
        process, limit = account.process, account.policy.max_rss_hard
        at_work = account.ready is not None and not (account.termed or account.dumped or account.hurried)
        if process and at_work and limit is not None and process.rss(self.now) > limit:
            account.cause = "memory_hard"

    def _too_big(self, account: Account) -> None:
        """A process over its memory limit is at fault, though it may finish its work."""
        process, limit = account.process, account.policy.max_rss
        if process and not account.asked and limit is not None and process.rss(self.now) > limit:
            account.cause = "memory"
