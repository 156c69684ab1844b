"""What comes from people and the clock: toggles, restarts, reloads, frozen time, calm, the end."""

from __future__ import annotations

from dataclasses import replace
from heapq import heapify
from math import inf
from typing import TYPE_CHECKING

from simulation.oracle import Account
from simulation.promises import SLACK, must
from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.events import How, State
from supervisor.core.spec import BrokerSettings, ChildSpec, ConsumerSettings, Kind, Policy, Settings, TaskSettings

if TYPE_CHECKING:
    from simulation.simulator import Simulator

AUDIT_EVERY = 2.0
CALM = 48.0  # seconds: the longest wait of each kind that World.policy draws, one after the other
CALM_EVERY = 900  # steps
KAFKA = ConsumerSettings(
    handler="m:h", topics=("t",), group_id="g", auto_offset_reset="latest", bootstrap_servers="localhost:9092"
)


class Operators:
    """Everything that does not come from a process."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.rnd = sim.rnd
        self.restless = self.rnd.uniform(2.0, 30.0)  # seconds between what they do
        self.policies: list[Policy] = []
        self.next_calm = int(self.rnd.uniform(0.3, 1.0) * CALM_EVERY)
        self.calm_until = inf
        self.edits = 0

    def begin(self) -> None:
        self.policies = [self.sim.world.policy() for _ in range(4)]
        specs = [self._spec(f"c{number}") for number in range(self.rnd.randint(1, 4))]
        if self.rnd.random() < 0.5:
            specs.insert(0, self._spec("b", broker=True))
        self.apply(specs)
        self.sim.at(self.restless, self.operate, world=False)
        self.sim.at(AUDIT_EVERY, self.audit, world=False)

    def _spec(self, name: str, *, broker: bool = False) -> ChildSpec:
        settings: Settings = BrokerSettings() if broker else TaskSettings(run="m:f")
        if not broker and self.rnd.random() < 0.4:
            settings = KAFKA
        kind: Kind = "broker" if broker else "consumer" if settings is KAFKA else "task"
        policy = self.rnd.choice(self.policies)
        return ChildSpec(name=name, group=name, kind=kind, enabled=True, policy=policy, settings=settings)

    # Now and then.

    def operate(self) -> None:
        sim = self.sim
        sim.at(self.rnd.uniform(0.0, 2 * self.restless), self.operate, world=False)
        hits = sim.mix.hits
        if hits("no_fork"):
            sim.no_fork_until = sim.now + self.rnd.uniform(0.5, 20.0)
        if hits("frozen_alone"):
            self.freeze(self.rnd.uniform(0.5, 30.0), everything=False)
        if hits("frozen_all"):
            self.freeze(self.rnd.uniform(0.5, 30.0), everything=True)
        if sim.end is not None:
            return
        name = self.rnd.choice(list(sim.fleet.children) or [""])
        if hits("toggle") and name:
            self.toggle(name)
        if hits("restart") and name in sim.fleet.children:
            self.restart(name)
        if hits("reload"):
            self.reload()
        if sim.now < sim.no_fork_until and not sim.mix.calm and self.rnd.random() < 0.5:
            self.lose_patience()

    def toggle(self, name: str) -> None:
        account, sim = self.sim.accounts[name], self.sim
        if name not in sim.specs:
            return
        up = not account.wanted if self.rnd.random() < 0.8 else account.wanted
        how = How.STOP if self.rnd.random() < 0.3 else How.DRAIN
        sim.enabled[name] = up
        if not (account.wanted == up and how is How.DRAIN):
            account.want(how, sim.now, up=up)
        sim.note(name, f"toggle: up={up} {how!r}")
        sim.steps += 1
        sim.take(sim.fleet.want(name, up=up, why="toggle", now=sim.now, how=how))
        sim.agree(name)

    def restart(self, name: str) -> None:
        how = How.STOP if self.rnd.random() < 0.3 else How.DRAIN
        self.sim.accounts[name].restart(how, self.sim.now)
        self.sim.feed(name, ev.Restart(how))

    def reload(self) -> None:
        specs = [self._edited(spec) for spec in self.sim.specs.values() if self.rnd.random() > 0.15]
        if self.rnd.random() < 0.3:
            name = f"c{self.rnd.randint(0, 5)}"
            if name not in {spec.name for spec in specs}:
                specs.append(self._spec(name))
        self.apply(specs)

    def lose_patience(self) -> None:
        """What is in a crash loop is to be given up from the next failure on; a refused fork is none."""
        fatal = {
            name: replace(spec.policy, on_crash_loop="fatal")
            for name, spec in self.sim.specs.items()
            if self.sim.accounts[name].looping
        }
        self.apply([replace(spec, policy=fatal.get(name, spec.policy)) for name, spec in self.sim.specs.items()])

    def _edited(self, spec: ChildSpec) -> ChildSpec:
        draw = self.rnd.random()
        if draw < 0.2:
            return replace(spec, policy=self.rnd.choice(self.policies))
        if draw < 0.4 and isinstance(spec.settings, TaskSettings):
            self.edits += 1
            return replace(spec, settings=replace(spec.settings, run=f"m:f{self.edits}"))
        if draw < 0.5:
            return replace(spec, policy=replace(spec.policy, on_crash_loop=self.rnd.choice(("hold", "fatal"))))
        if draw < 0.6:
            self.sim.enabled[spec.name] = not self.sim.enabled[spec.name]
        return spec

    def apply(self, specs: list[ChildSpec]) -> None:
        sim, now = self.sim, self.sim.now
        old, new = sim.specs, {spec.name: spec for spec in specs}
        for name in [name for name in sim.accounts if name not in new]:
            if sim.accounts[name].wanted:
                sim.accounts[name].want(How.DRAIN, now, up=False)
        for name, spec in new.items():
            account = sim.accounts.get(name)
            if account is None:
                account = sim.accounts[name] = Account(name, spec.policy, sim.gaps)
                sim.real.setdefault(name, set())
                sim.stray.setdefault(name, 0)
            if account.policy != spec.policy:
                account.policy, account.policy_at = spec.policy, now
            up = sim.enabled.setdefault(name, True)
            if up != account.wanted:
                account.want(How.DRAIN, now, up=up)
            before = sim.known.get(name)
            if before and before != spec.settings:
                account.restart(How.DRAIN, now)
            sim.known[name] = spec.settings
        sim.specs = new
        sim.note("", f"reload: {' '.join(new)} (before: {' '.join(old)})")
        sim.steps += 1
        sim.take(sim.fleet.apply(specs, lambda spec: sim.enabled[spec.name], now))
        for name in list(sim.accounts):
            sim.agree(name)

    def freeze(self, gap: float, *, everything: bool) -> None:
        """The supervisor stood still, alone or with the whole machine; it notices at once when it goes on."""
        sim = self.sim
        began, sim.now = sim.now, sim.now + gap
        sim.ticks_at_once = 0
        sim.gaps.spans.append((began, sim.now))
        if everything:
            for process in {process for real in sim.real.values() for process in real}:
                process.frozen(began, gap)
            sim.heap = [(at + gap, *entry) if entry[-1] else (at, *entry) for at, *entry in sim.heap]  # type: ignore[misc]
            heapify(sim.heap)
        for account in sim.accounts.values():
            account.shift(gap)
        if sim.end:
            sim.end.shift(gap)
        sim.note("", f"frozen for {gap:.3f} s, {'the whole machine' if everything else 'the supervisor alone'}")
        sim.steps += 1
        sim.fleet.shift(gap, sim.now)

    # Regular looks at the whole.

    def audit(self) -> None:
        sim = self.sim
        sim.at(AUDIT_EVERY, self.audit, world=False)
        for name, account in sim.accounts.items():
            sim.current = name
            account.audit(sim.now)
        sim.tick()
        if sim.end:
            return
        if sim.mix.calm:
            self._end_calm()
        elif sim.steps >= self.next_calm:
            self._begin_calm()

    def _begin_calm(self) -> None:
        """No more faults: those that had begun are found, everything that is wanted comes up."""
        sim = self.sim
        sim.mix.calm, sim.no_fork_until, self.calm_until = True, 0.0, sim.now + CALM
        for process in {process for real in sim.real.values() for process in real}:
            process.leftovers, process.unkillable = 0.0, min(process.unkillable, 3.0)
            process.fat_from = process.huge_from = inf
            process.hangs_at = process.hangs_at if process.hangs_at <= sim.now else inf
            process.stuck_from = process.stuck_from if process.stuck_from <= sim.now else inf
        coming = [entry for entry in sim.heap if not sim.is_fault(entry)]
        sim.heap = [(min(entry[0], sim.now + 3.0), *entry[1:]) if sim.is_end(entry) else entry for entry in coming]
        heapify(sim.heap)

    def _end_calm(self) -> None:
        sim = self.sim
        if sim.now < self.calm_until:
            return
        for name, child in sim.fleet.children.items():
            sim.current = name
            if child.wanted and child.state is not State.FATAL:
                must(child.state is State.RUNNING, f"L2 still {child.state} {child.phase} after {CALM:g} s of calm")
        sim.mix.calm, self.next_calm = False, sim.steps + CALM_EVERY

    def stop(self) -> None:
        self.sim.mix.calm = False
        self.sim.end = Ending(self.sim)


class Ending:
    """A shutdown, and what must hold in it."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        rnd = sim.rnd
        grace = rnd.uniform(0.3, 8.0)
        self.by = sim.now + grace
        self.last_at = sim.now + 0.8 * grace
        self.rank = 1
        self.killed = False
        self.last = [name for name, spec in sim.specs.items() if spec.kind == "broker"]
        self.last_told = False
        for name, account in sim.accounts.items():
            account.shutting_down = True
            if name in self.last:
                account.outlive()
            else:
                account.want(How.STOP, sim.now, up=False, by=self.by)
        self.signal(grace)
        for _ in range(rnd.choice((0, 0, 1, 2))):
            sim.at(rnd.uniform(0.0, 1.3 * grace), self._again, world=False)

    def signal(self, grace: float) -> None:
        sim = self.sim
        sim.note("", f"signal {self.rank}")
        sim.steps += 1
        sim.end = self
        sim.take(sim.fleet.stop(sim.now, grace, "SIGTERM"))
        for name in list(sim.accounts):
            sim.agree(name)
        self.check()

    def _again(self) -> None:
        self.rank += 1
        self.by = min(self.by, self.sim.now + 2.0)
        self.last_told = True
        how = How.STOP if self.rank == 2 else How.KILL
        for account in self.sim.accounts.values():
            account.want(how, self.sim.now, up=False, by=self.by)
        self.signal(0.0)
        for account in self.sim.accounts.values():
            must(self.rank < 3 or account.process is None or account.killed, "a third signal, and it was not killed")

    def shift(self, gap: float) -> None:
        self.by += gap
        self.last_at += gap

    def told(self, name: str) -> None:
        """A child is being told to end. The broker's turn comes when its clients are gone, or when time runs out."""
        if name in self.last:
            self._tell_last()

    def _tell_last(self) -> None:
        accounts = self.sim.accounts
        first_gone = all(a.process is None and not a.left for name, a in accounts.items() if name not in self.last)
        if not self.last_told and (first_gone or self.sim.now >= self.last_at):
            self.last_told = True
            for name in self.last:
                if name in accounts:
                    accounts[name].order(How.STOP, self.sim.now, self.by)

    def check(self) -> None:
        sim = self.sim
        self._tell_last()
        alive = [a for a in sim.accounts.values() if a.process is not None]
        ended = not alive and not any(account.left for account in sim.accounts.values())
        must(sim.fleet.done == ended, f"everything has ended: {ended}; the fleet says {sim.fleet.done}")
        if ended:
            must(sim.fleet.had_to_kill == self.killed, "wrong about having had to kill")
            sim.over = True
        elif sim.now >= self.by + SLACK:
            for account in alive:
                sim.current = account.name
                process = account.process
                must(process and process.killed and process.unkillable, "I3 still there after the shutdown's time")
            must(sim.fleet.overdue(sim.now), "the shutdown's time is over, and the fleet does not say so")
            sim.over = True
