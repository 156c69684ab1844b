"""All children together: who is wanted, in which order they end, and when the whole is done.

The fleet decides; it is driven like a child: events in, (name, action) pairs out.
Shutdown has one deadline for all. Tasks and consumers end first; the broker that they still need to commit
to follows when they are gone, or when 80 % of the time is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from math import inf

from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.child import Child
from supervisor.core.lifecycle.events import Action, Event, How, Said, State
from supervisor.core.lifecycle.rolling import Joined, Rolling, Turn
from supervisor.core.spec import BrokerSettings, ChildSpec, ConsumerSettings, Settings

LAST_SHARE = 0.8  # of the grace period, after which the broker is ended beside its clients
HURRY = 2.0  # seconds that a second signal leaves
BEYOND = 1.0  # after the deadline plus this, what lives cannot be killed: leave, and say so

Actions = list[tuple[str, Action]]


@dataclass(slots=True)
class Shutdown:
    began: float
    by: float
    rank: int = 1  # how many signals came
    last_at: float = 0.0  # when the broker is ended at the latest
    last_told: bool = False
    killed: bool = False  # SIGKILL had to be sent


class Fleet:
    """Children by name, in the order of their start: the broker first."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self.children: dict[str, Child] = {}
        self.specs: dict[str, ChildSpec] = {}
        self.shutdown: Shutdown | None = None
        self.rolling = Rolling()
        self._removed: set[str] = set()  # gone from the configuration; forgotten when they have ended
        self._draw = draw
        self._wakes: dict[str, float] = {}  # when each has something due: asked in every turn, for a thousand too

    def step(self, name: str, event: Event, now: float) -> Actions:
        """Feed one child, and see whether its end lets others end."""
        out = self._feed(name, event, now)
        if self.shutdown:
            out += self._go_on_ending(now)
        return out

    def due(self, now: float) -> list[str]:
        """Return the children whose deadline has come."""
        return [name for name in self.children if self._wakes[name] <= now]

    def tick(self, now: float) -> Actions:
        """Everything that is due. Call when `wakes_at` has come."""
        self._forget_removed()
        out: Actions = []
        for name in self.due(now):
            out += self.step(name, ev.Tick(), now)
        return out + (self._go_on_ending(now) if self.shutdown else [])

    def wakes_at(self) -> float | None:
        at = min(self._wakes.values(), default=inf)
        if self.shutdown:
            at = min(at, self.shutdown.by + BEYOND)
            at = at if self.shutdown.last_told else min(at, self.shutdown.last_at)
        return None if at == inf else at

    def shift(self, gap: float, now: float) -> None:
        """The supervisor was frozen for `gap` seconds."""
        for name, child in self.children.items():
            child.step(ev.Shifted(gap), now)
            self._remember(name, child)
        self.rolling.shift(gap)
        if self.shutdown:
            self.shutdown.by += gap
            self.shutdown.last_at += gap

    # What is wanted.

    def apply(self, specs: Iterable[ChildSpec], enabled: Callable[[ChildSpec], bool], now: float) -> Actions:
        """Make this the configuration: add, drop, change only what differs. A planned change cuts no run short."""
        if self.shutdown:
            return []
        new = {spec.name: spec for spec in specs}
        out: Actions = []
        changed: list[str] = []
        for name in [name for name in self.children if name not in new]:
            self._removed.add(name)
            out += self.step(name, ev.Want(up=False, why="removed from the configuration"), now)
        for name, spec in new.items():
            out += self._apply_one(name, spec, enabled(spec), changed, now)
        out += self.restart(changed, "its settings changed", now)
        going = [name for name in self.children if name not in new]  # a set has another order in every process
        self.children = {name: self.children[name] for name in [*new, *going]}
        return out

    def _apply_one(self, name: str, spec: ChildSpec, enabled: bool, changed: list[str], now: float) -> Actions:
        old = self.specs.get(name)
        child = self.children.get(name)
        if child is None:
            child = self.children[name] = Child(name, spec.policy, self._draw)
        self._removed.discard(name)
        self.specs[name] = spec
        child.policy = spec.policy
        self._remember(name, child)  # another heartbeat timeout is another deadline
        out = self.want(name, up=enabled, why="config.toml", now=now)
        if old and born_with(old) != born_with(spec):
            changed.append(name)
        return out

    def want(self, name: str, *, up: bool, why: str, now: float, how: How = How.DRAIN) -> Actions:
        """Toggle one child. Nothing starts any more once the shutdown began."""
        child = self.children[name]
        if self.shutdown or (child.wanted == up and how is How.DRAIN):
            return []
        return self.step(name, ev.Want(up=up, how=how, why=why), now)

    def restart(self, names: Iterable[str], why: str, now: float, how: How = How.DRAIN) -> Actions:
        """Replace their processes: at once, but of a consumer's members that run one after the other."""
        groups: dict[str, list[str]] = {}
        for name in names:
            groups.setdefault(self.specs[name].group, []).append(name)
        out: Actions = []
        for group, members in groups.items():
            turns = self._in_turns(group, members) if how is How.DRAIN else []
            if turns:
                out += self._take_turn(self.rolling.ask(group, [self.children[name] for name in turns], why), now)
            elif len(members) > 1:
                self.rolling.drop(group)
            for name in members:
                out += [] if name in turns else self.step(name, ev.Restart(how, why), now)
        return out + self.roll(lambda name: False, now)

    def _in_turns(self, group: str, members: list[str]) -> list[str]:
        """Those who handle records now, if there is more than one of them, or one is away for its turn."""
        consumers = [name for name in members if self.specs[name].kind == "consumer"]
        serving = [name for name in consumers if self.children[name].state is State.RUNNING]
        away = group in self.rolling and len(members) > 1
        return serving if len(serving) > 1 or away else []

    def roll(self, joined: Joined, now: float) -> Actions:
        """Whose turn it is to be restarted now. `joined`: whether a process says that its group has taken it in."""
        return [pair for turn in self.rolling.turns(self.children, joined, now) for pair in self._take_turn(turn, now)]

    def _take_turn(self, turn: Turn, now: float) -> Actions:
        name, what = turn
        return [(name, what)] if isinstance(what, Said) else self.step(name, what, now)

    # Shutdown.

    def stop(self, now: float, grace: float, why: str) -> Actions:
        """First call: end within `grace`. Second: within two seconds. Third: kill."""
        self.rolling.clear()
        if self.shutdown is None:
            self.shutdown = Shutdown(now, now + grace, last_at=now + LAST_SHARE * grace)
            out = [pair for name in self._last() for pair in self._feed(name, ev.Outlive(), now)]
            return out + self._end(self._first(), How.STOP, why, now) + self._go_on_ending(now)
        self.shutdown.rank += 1
        self.shutdown.by = min(self.shutdown.by, now + HURRY)
        self.shutdown.last_told = True
        how = How.STOP if self.shutdown.rank == 2 else How.KILL
        return self._end(list(self.children), how, why, now)

    @property
    def done(self) -> bool:
        return self.shutdown is not None and all(child.settled for child in self.children.values())

    def overdue(self, now: float) -> bool:
        """The shutdown's time is over and something still lives that SIGKILL did not end."""
        return self.shutdown is not None and now >= self.shutdown.by + BEYOND and not self.done

    @property
    def had_to_kill(self) -> bool:
        """In this shutdown. A hung child that was killed last week does not make today's end unclean."""
        return self.shutdown is not None and self.shutdown.killed

    def living(self) -> Iterator[Child]:
        return (child for child in self.children.values() if child.alive)

    def _first(self) -> list[str]:
        return [name for name, spec in self.specs.items() if spec.kind != "broker" and name in self.children]

    def _last(self) -> list[str]:
        return [name for name, spec in self.specs.items() if spec.kind == "broker" and name in self.children]

    def _go_on_ending(self, now: float) -> Actions:
        shutdown = self.shutdown
        if shutdown is None or shutdown.last_told:
            return []
        if now < shutdown.last_at and not all(self.children[name].settled for name in self._first()):
            return []
        shutdown.last_told = True
        return self._end(self._last(), How.STOP, "shutdown", now)

    def _end(self, names: list[str], how: How, why: str, now: float) -> Actions:
        by = self.shutdown.by if self.shutdown else None
        out: Actions = []
        for name in names:
            out += self._feed(name, ev.Want(up=False, how=how, by=by, why=why), now)
        return out

    def _feed(self, name: str, event: Event, now: float) -> Actions:
        child = self.children.get(name)
        if child is None:
            return []
        actions = child.step(event, now)
        self._remember(name, child)
        if self.shutdown and any(isinstance(action, ev.Kill) for action in actions):
            self.shutdown.killed = True
        return [(name, action) for action in actions]

    def _remember(self, name: str, child: Child) -> None:
        at = child.wakes_at()
        self._wakes[name] = inf if at is None else at

    def _forget_removed(self) -> None:
        """Not in the step that ended them: who carries out its actions still asks for the child."""
        for name in [name for name in self._removed if self.children[name].settled]:
            self._removed.discard(name)
            del self.children[name], self.specs[name], self._wakes[name]


def born_with(spec: ChildSpec) -> tuple[object, ...]:
    """What a process is told at its birth only, so that a change needs a new one."""
    return spec.kind, _own(spec.settings), spec.policy.heartbeat_interval


def _own(settings: Settings) -> Settings:
    if isinstance(settings, ConsumerSettings):  # the group shares the partitions out by itself, however many members
        return replace(settings, processes=0)
    if isinstance(settings, BrokerSettings):  # it makes topics while it serves, by order; anew, it would be empty
        return replace(settings, topics={})
    return settings
