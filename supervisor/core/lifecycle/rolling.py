"""Planned restarts of a consumer's members, one after the other: the others handle its records meanwhile.

The next one's turn comes when the one before has a new process that has joined the group; or after a bound, for a
group that takes so long must not keep old code running for ever. A new process that is given up ends it: the others
go on as they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from supervisor.core.lifecycle.child import Child
from supervisor.core.lifecycle.events import Event, Restart, Said, State

BOUND = 30.0  # seconds for a new process to start and to join, after what it replaces was to have ended

Children = Mapping[str, Child]
Joined = Callable[[str], bool]
Turn = tuple[str, Event | Said]  # a child, and what is to be fed to it or said of it


@dataclass(slots=True)
class Roll:
    """Of one consumer."""

    why: str
    total: int
    waiting: deque[tuple[str, int]] = field(default_factory=deque)  # member, the number of its process to be replaced
    current: str = ""
    generation: int = 0  # of the process that the current one had
    by: float = inf


class Rolling:
    """All that go on, by group."""

    def __init__(self) -> None:
        self._rolls: dict[str, Roll] = {}

    def __contains__(self, group: str) -> bool:
        return group in self._rolls

    def ask(self, group: str, members: Iterable[Child], why: str) -> Turn:
        """Begin with members that run; who has its turn at this moment keeps it, so that no two are away."""
        turns = {child.name: child.generation for child in members}
        roll = Roll(why, len(turns))
        if old := self._rolls.get(group):
            turns = dict(old.waiting) | turns
            roll = Roll(why, len(turns), current=old.current, generation=old.generation, by=old.by)
        roll.waiting.extend(turns.items())
        self._rolls[group] = roll
        named = ", ".join(turns) or "nobody else"
        return roll.current or next(iter(turns)), Said(f"restarting one after the other: {named}", "info", "rolling")

    def drop(self, group: str) -> None:
        self._rolls.pop(group, None)

    def clear(self) -> None:
        self._rolls.clear()

    def shift(self, gap: float) -> None:
        for roll in self._rolls.values():
            roll.by += gap

    def notes(self) -> list[str]:
        """Return, of each group, how far it is; for people."""
        return [
            f"{group}: restarting one after the other, now {roll.current}; {len(roll.waiting)} of"
            f" {roll.total} wait for their turn"
            for group, roll in self._rolls.items()
        ]

    def turns(self, children: Children, joined: Joined, now: float) -> list[Turn]:
        """Return what is to be done now. `joined`: whether a member's living process has its part of the group."""
        out: list[Turn] = []
        for group, roll in list(self._rolls.items()):
            out += self._of_group(group, roll, children, joined, now)
        return out

    def _of_group(self, group: str, roll: Roll, children: Children, joined: Joined, now: float) -> list[Turn]:
        current = children.get(roll.current)
        out: list[Turn] = []
        if current is not None and current.wanted:
            if current.state is State.FATAL:
                self.drop(group)
                return self._given_up(roll, current)
            if not _has_followed(current, roll, joined):
                if now < roll.by:
                    return []
                out.append((current.name, Said(self._late(roll), "warning", "rolling")))
        return out + self._next(group, roll, children, now)

    def _next(self, group: str, roll: Roll, children: Children, now: float) -> list[Turn]:
        while roll.waiting:
            name, generation = roll.waiting.popleft()
            child = children.get(name)
            if child is None or not child.wanted or child.generation != generation:
                continue  # removed, disabled, or replaced for another reason
            roll.current, roll.generation = name, generation
            roll.by = now + (child.policy.drain_timeout or 0.0) + BOUND
            return [(name, Restart(why=roll.why))]
        self.drop(group)
        return [(roll.current, Said("the last one of its group that was to be restarted", "info", "rolled"))]

    @staticmethod
    def _late(roll: Roll) -> str:
        after = "nobody waits for its turn" if not roll.waiting else f"{roll.waiting[0][0]} has its turn all the same"
        return f"restarted, and has not joined its group in time: {after}"

    @staticmethod
    def _given_up(roll: Roll, current: Child) -> list[Turn]:
        others = ", ".join(name for name, _ in roll.waiting)
        if not others:
            return []
        text = f"its new process is given up ({current.reason}), so {others} are left as they are"
        return [(current.name, Said(text, "error", "rolling"))]


def _has_followed(child: Child, roll: Roll, joined: Joined) -> bool:
    return child.generation > roll.generation and child.state is State.RUNNING and joined(child.name)
