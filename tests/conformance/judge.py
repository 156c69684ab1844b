"""RUNS IN THE COMMAND of tests/conformance, and in pytest: reads a record of the driver, and lives it again.

Three things are held. The pure core, given the same events at the same times and the same random numbers, returns the
very same actions and is then in the same state: nothing but its inputs decides. Each action was carried out once, at
once and in its order, on the process that it was meant for; and nothing was done to a child that was no action. And
what the driver tells the core is true: one birth for each fork, one end for each reaping, with its status.
"""

from __future__ import annotations

import pickle
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance.recorder import seen
from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.fleet import Fleet
from supervisor.core.wire.messages import DUMP_SIGNAL

TERM, CONT, KILL = 15, 18, 9
OWN = "flood"  # a word of the driver, not of the core


@dataclass(slots=True)
class Tally:
    """What was compared."""

    events: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    effects: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        self.events += other.events
        self.actions += other.actions
        self.effects += other.effects


def read(path: Path) -> Iterator[tuple[Any, ...]]:
    with open(path, "rb") as file:
        while file.peek(1):
            yield pickle.load(file)


def judge(path: Path) -> Tally:
    """Raises AssertionError where the driver and the core part."""
    again = _Again()
    for number, (kind, *entry) in enumerate(read(path)):
        try:
            (again.call if kind == "call" else again.done)(*entry)
        except AssertionError as error:
            raise AssertionError(f"entry {number}: {kind} {entry}: {error}") from None
    again.over()
    return again.tally


class _Again:
    def __init__(self) -> None:
        self.draws: deque[float] = deque()
        self.fleet = Fleet(self.draws.popleft)
        self.process: dict[str, int] = {}  # as the driver has it: from Spawned to Exited
        self.forked: dict[int, str] = {}  # what lives, or is not reaped
        self.reaped: dict[str, Any] = {}  # until the core hears of it
        self.owed: deque[tuple[Any, ...]] = deque()  # effects, in their order
        self.tally = Tally()

    def call(self, method: str, given: tuple[Any, Any], drawn: list[float], returned: list[Any], after: Any) -> None:
        """Let the core take the same step, and note what the driver then has to do."""
        args, kwargs = given
        if method == "step":
            self._is_true(*args[:2])
        self.draws.extend(drawn)
        if method == "apply":
            specs, on, now = args
            result: Any = self.fleet.apply(specs, lambda spec: on[spec.name], now)
        else:
            result = getattr(self.fleet, method)(*args, **kwargs)
        assert result == returned, f"the core returns {result}"
        assert not self.draws, "the core draws fewer random numbers"
        assert seen(self.fleet) == after, f"the core is then {seen(self.fleet)}"
        self.tally.events[type(args[1]).__name__ if method == "step" else method] += 1
        self.owed.extendleft(reversed([owed for name, action in returned or () for owed in self._owed(name, action)]))

    def _is_true(self, name: str, event: ev.Event) -> None:
        match event:
            case ev.Spawned(pid):
                assert self.forked.get(pid) == name, "no such process was forked"
                self.process[name] = pid
            case ev.Exited(status):
                told = self.reaped.pop(name, None)
                assert told is not None, "nothing was reaped"
                assert (status.code, status.signal, status.member) == (told.code, told.signal, told.member)
                del self.process[name]
            case ev.Greeted() | ev.BecameReady() | ev.Pulse() | ev.Broken():
                assert name in self.process, "nobody is there to say so"

    def _owed(self, name: str, action: ev.Action) -> list[tuple[Any, ...]]:
        self.tally.actions[type(action).__name__] += 1
        pid = self.process.get(name)
        match action:
            case ev.Changed():
                return [("changed", name, action)]
            case ev.Said(text, level, code):
                return [("said", name, level, code, text)]
            case ev.Escalate(reason):
                return [("escalate", reason)]
            case ev.Prepare(member):
                return [("evict", name, member)]
            case ev.Drain() if pid:
                return [("order", pid, "drain")]
            case ev.Terminate() if pid:
                return [("send", pid, TERM), ("send", pid, CONT)]
            case ev.Kill() if pid:
                return [("kill", pid), ("send", pid, KILL)]
            case ev.Dump() if pid:
                return [("send", pid, DUMP_SIGNAL), ("send", pid, TERM)]
        return []  # Spawn: the forks of a turn come last

    def done(self, what: str, args: tuple[Any, ...]) -> None:
        match what, args:
            case "fork", (name, pid):
                self._fork(name, pid)
            case "reap", (pid, status):
                if name := self.forked.pop(pid, None):
                    self.reaped[name] = status
            case (("send" | "kill" | "order"), (pid, *_)) if pid not in self.forked:
                assert pid not in self.process.values(), "a reaped process is signalled"
                return  # a helper, or the guard
            case "order", (_, verb, _) if verb != "drain":
                pass  # runs, usage, stacks: asked for by people, not by the core
            case "said", (_, _, code, _) if code == OWN:
                pass
            case "order", (pid, verb, taken):
                self._pay((what, pid, verb))
                if not taken:
                    self.owed.appendleft(("send", pid, TERM))
            case _:
                self._pay((what, *args))
        self.tally.effects[what] += 1

    def _fork(self, name: str, pid: int) -> None:
        assert self.fleet.children[name].to_be_forked, "a fork that is not wanted, or not any more"
        assert name not in self.forked.values(), "a fork beside a living process"
        assert name not in self.process, "a fork before the core heard of the end of the last one"
        self.forked[pid] = name

    def _pay(self, effect: tuple[Any, ...]) -> None:
        assert self.owed, "this was no action"
        owed = self.owed.popleft()
        assert owed == effect, f"the action to be carried out was {owed}"

    def over(self) -> None:
        assert not self.owed, f"never carried out: {list(self.owed)}"
        assert not self.forked, f"never reaped: {self.forked}"
        assert not self.reaped, f"the core never heard of the end of {self.reaped}"
        assert self.fleet.done, "the core was not told to stop, or not of every end"
