"""RUNS IN A CHILD, in its main thread: several records or batches in hand at once, of one key or partition only one.

What was read waits in chains; a free lane takes the next chain's first. The lanes only call the handler: what follows
from a result is decided here, so a record that waits for its next attempt holds up its own chain and no lane.
"""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

from supervisor.child.kafka.handover import Handover, Item
from supervisor.child.kafka.lane_pool import Pool
from supervisor.child.kafka.quarantine import Quarantine
from supervisor.child.kafka.rejection import MARGIN, Rejection
from supervisor.child.kafka.sieve import Sieve
from supervisor.child.kafka.steps import Step, Steps
from supervisor.child.kafka.troubles import enter
from supervisor.child.runtime import Runtime
from supervisor.core.kafka.chains import Chains
from supervisor.core.kafka.pace import Pace, parse
from supervisor.core.spec import ConsumerSettings

AHEAD = 2000  # records read behind one that is open: so many fit beside the offset in Kafka
LOOK = 1.0  # seconds between two looks


@dataclass(slots=True, eq=False)
class _Line:
    """What was taken of a chain, until all of it is over."""

    chain: Hashable
    todo: deque[Step] = field(default_factory=deque)
    step: Step | None = None  # in hand
    since: float = 0.0  # monotonic, when that began
    until: float = 0.0  # when the next step is due


NOTHING: tuple[None, str] = (None, "")


class Lanes:
    """`leaving` says that nothing new is to be begun."""

    def __init__(
        self,
        rt: Runtime,
        settings: ConsumerSettings,
        handover: Handover,
        pool: Pool,
        sieve: Sieve,
        steps: Steps,
        rejection: Rejection,
        leaving: Callable[[], bool],
        *,
        batch: bool,
    ) -> None:
        """`batch`: the handler takes several records."""
        self._rt, self._settings, self._handover, self._pool = rt, settings, handover, pool
        self._sieve, self._steps, self._rejection, self._leaving = sieve, steps, rejection, leaving
        self._most = settings.batch_size if batch else 1
        self._pace = Pace(parse(settings.rate)) if settings.rate else None
        self._quarantine = Quarantine(rt)
        self._chains: Chains[Item] = Chains()
        self._in_hand: set[_Line] = set()
        self._parked: list[_Line] = []
        self._lanes = settings.concurrency
        self._told: tuple[_Line | None, str] = NOTHING  # what stands on the black box page

    @property
    def has_room(self) -> bool:
        waiting, batch = self._chains.waiting, self._settings.batch_size
        if not (waiting or self._in_hand or self._parked):
            return True
        return waiting < batch and self._handover.most_open() < max(AHEAD, 4 * batch)

    def batch(self, items: list[Item]) -> None:
        self._quarantine.collect(self._handover.handled)
        for item in self._sieve.passed(items):
            self._chains.add(self._chain(item), item)

    def _chain(self, item: Item) -> Hashable:
        """A record without a key has no order among keys."""
        if self._settings.ordering == "partition":
            return item.lease.place
        key = item.message.key()
        if self._most == 1:
            return item.lease.place, item.offset if key is None else key
        # as many chains as lanes: batches of one key each would be small
        number = item.offset if key is None else zlib.crc32(key)
        return item.lease.place, number % self._settings.concurrency

    def turn(self) -> bool:
        """Take what is done, begin what can be, wait for more. Return whether anything is in hand or waits."""
        self._collect()
        self._dispatch()
        if not (self._in_hand or self._parked or self._chains.waiting):
            self._told = NOTHING
            return False
        self._say()
        self._rt.wait(self._rest())
        return True

    def finish(self) -> None:
        """The process leaves: what is in hand may finish."""
        while self._in_hand:
            self._collect()
            if self._in_hand:
                self._say()
                self._rt.wait(LOOK)

    def _collect(self) -> None:
        for tag, result in self._pool.results():
            if isinstance(result, BaseException):
                raise result
            assert isinstance(tag, _Line)
            assert tag.step is not None
            self._in_hand.discard(tag)
            following = self._steps.after(tag.step, result)
            tag.step, self._told = None, NOTHING  # a letter that was written stands on the page now
            tag.todo.extendleft(reversed(following))
            self._go_on(tag)

    def _go_on(self, line: _Line) -> None:
        """Park it until its next step is due, or let its chain go."""
        if not line.todo:
            self._chains.done(line.chain)
            return
        line.until = time.monotonic() + line.todo[0].wait
        self._parked.append(line)

    def _dispatch(self) -> None:
        careful = self._quarantine.is_careful(self._handover.handled)
        self._lanes = 1 if careful else self._settings.concurrency
        while len(self._in_hand) < self._lanes and not self._leaving() and self._may_begin():
            line = self._due() or self._taken(1 if careful else self._most)
            if line is None:
                return
            self._begin(line)

    def _may_begin(self) -> bool:
        return self._pace is None or self._pace.wait(time.monotonic()) <= 0

    def _due(self) -> _Line | None:
        now = time.monotonic()
        found = next((line for line in self._parked if line.until <= now), None)
        if found is not None:
            self._parked.remove(found)
        return found

    def _taken(self, most: int) -> _Line | None:
        taken = self._chains.take(most)
        if taken is None:
            return None
        chain, items = taken
        alone = most == 1 or self._quarantine.alone(items)
        steps = [self._steps.first(item) for item in items] if alone else [Step(items)]
        return _Line(chain, deque(steps))

    def _begin(self, line: _Line) -> None:
        """Give its next step that is still ours to a lane."""
        while line.todo:
            step = line.todo.popleft()
            if poisoned := self._quarantine.verdict(step.items[0]):
                self._rejection.judge(step.items[0], poisoned)
                self._told = NOTHING
            elif items := self._handover.take(step.items):
                now = time.monotonic()
                line.step, line.since = replace(step, items=items, wait=0.0), now
                self._in_hand.add(line)
                if self._pace is not None:
                    self._pace.begin(len(items), now)
                self._say()  # before it can end this process
                self._pool.submit(line, items, step.attempt)
                return
            if line.todo and line.todo[0].wait:
                break
        self._go_on(line)

    def _say(self) -> None:
        """The page has room for one record: the one in hand for the longest, whose time is over first."""
        if not self._in_hand:
            self._told = NOTHING
            items = self._parked[0].todo[0].items if self._parked else None
            if items:
                enter(self._rt, "waiting", items[0], 10.0)
            return
        oldest = min(self._in_hand, key=lambda line: line.since)
        phase = "handling" if self._lanes == len(self._in_hand) == 1 else "handling lanes"
        if self._told == (oldest, phase):
            return
        self._told = (oldest, phase)
        assert oldest.step is not None
        timeout = self._settings.handler_timeout
        left = None if timeout is None else max(0.001, timeout + MARGIN - (time.monotonic() - oldest.since))
        enter(self._rt, phase, oldest.step.items[0], left)

    def _rest(self) -> float:
        """Return the seconds until something is due."""
        now = time.monotonic()
        if len(self._in_hand) >= self._lanes or not (self._parked or self._chains.waiting):
            return LOOK  # a result ends the wait
        if self._pace is not None and (wait := self._pace.wait(now)) > 0:
            return min(LOOK, wait)
        return min(LOOK, max(0.0, min((line.until - now for line in self._parked), default=LOOK)))
