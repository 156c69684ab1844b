"""RUNS IN THE PARENT: asks living children for their Python stacks, and answers when all parts have come.

The child's own second thread takes them: faulthandler's dump of all threads can crash a process that is busy.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from supervisor.core.lifecycle.events import State
from supervisor.core.wire.control import Refusal
from supervisor.core.wire.messages import Order
from supervisor.core.wire.messages import Stacks as Part
from supervisor.core.wire.stacks import Parts
from supervisor.parent.driver import Driver
from supervisor.parent.runs import Runs
from supervisor.parent.server import Respond
from supervisor.parent.site import Site

WITHIN = 2.0  # seconds; a thread that is not stopped needs milliseconds


@dataclass(slots=True)
class _Asked:
    name: str  # as it was asked for
    respond: Respond
    until: float
    missing: dict[str, Parts]  # child -> what has come of it
    texts: dict[str, str] = field(default_factory=dict)


class Stacks:
    def __init__(self, site: Site, driver: Driver, runs: Runs) -> None:
        self._site = site
        self._driver = driver
        self._runs = runs
        self._asked: dict[str, _Asked] = {}  # by the id that the order carries and each part brings back
        self._ids = count(1)

    def ask(self, name: str, respond: Respond) -> None:
        """Order the stacks of a child, or of all members of a consumer that live."""
        children = self._site.fleet.children
        alive = [each for each in self._site.members(name) if children[each].alive]
        if not alive:
            state = children[self._site.members(name)[0]].state.value
            respond.refuse(Refusal(409, f"{name} has no process: it is {state}", f"see: supervisor explain {name}"))
            return
        id = str(next(self._ids))
        asked = _Asked(name, respond, time.monotonic() + WITHIN, {each: Parts() for each in alive})
        self._asked[id] = asked
        for each in alive:
            self._driver.order(each, Order("stack", {"id": id}))
            self._driver.listen(each, on=True)

    def heard(self, name: str, part: Part) -> None:
        asked = self._asked.get(part.id)
        parts = asked.missing.get(name) if asked else None
        text = parts.add(part) if parts else None
        if asked is None or text is None:
            return
        del asked.missing[name]
        asked.texts[name] = text
        if not asked.missing:
            del self._asked[part.id]
            self._rest(asked.texts)
            asked.respond.send(200, {"name": asked.name, "stacks": asked.texts})

    def deadline(self) -> float | None:
        return min((asked.until for asked in self._asked.values()), default=None)

    def expire(self, now: float) -> None:
        for id, asked in [(id, asked) for id, asked in self._asked.items() if now >= asked.until]:
            del self._asked[id]
            self._rest((*asked.texts, *asked.missing))
            asked.respond.refuse(_late(asked))

    def shift(self, gap: float) -> None:
        """The supervisor was frozen for `gap` seconds: what was said meanwhile is not read yet."""
        for asked in self._asked.values():
            asked.until += gap

    def _rest(self, names: Iterable[str]) -> None:
        """Leave the messages to the look of every second again, unless somebody else waits for them."""
        children, others = self._site.fleet.children, {n for asked in self._asked.values() for n in asked.missing}
        for name in names:
            child = children.get(name)
            if child and child.state is State.RUNNING and name not in others:
                self._driver.listen(name, on=self._runs.waits_for(name))


def _late(asked: _Asked) -> Refusal:
    who = ", ".join(sorted(asked.missing))
    why = "its process is stopped, starting, or in C code that lets no thread run"
    text = f"{who} did not answer within {WITHIN:g} s: {why}"
    hint = f"when it stays silent for heartbeat.timeout it is replaced, its stacks kept: supervisor report {asked.name}"
    return Refusal(504, text, hint)
