"""RUNS IN A CHILD, in its main thread: one record or batch after the other through the handler, retried in place."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from supervisor.child.kafka.calling import Calling, Result
from supervisor.child.kafka.handover import Handover, Item, Lease
from supervisor.child.kafka.quarantine import Quarantine
from supervisor.child.kafka.rejection import MARGIN, Rejection
from supervisor.child.kafka.sieve import Sieve
from supervisor.child.kafka.steps import Step, Steps
from supervisor.child.kafka.straight import Straight
from supervisor.child.kafka.troubles import enter
from supervisor.child.runtime import Runtime
from supervisor.core.kafka.pace import Pace, parse
from supervisor.core.kafka.turns import in_turns
from supervisor.core.spec import ConsumerSettings


class Handling:
    """`leaving` says that nothing new is to be begun."""

    def __init__(
        self,
        rt: Runtime,
        settings: ConsumerSettings,
        handover: Handover,
        calling: Calling,
        sieve: Sieve,
        steps: Steps,
        rejection: Rejection,
        leaving: Callable[[], bool],
        *,
        batch: bool,
        straight: Straight | None = None,
    ) -> None:
        """`batch`: the handler takes several records. `straight`: the quick way, where there is one."""
        self._rt, self._settings, self._handover, self._calling = rt, settings, handover, calling
        self._sieve, self._steps, self._rejection, self._leaving, self._batch = sieve, steps, rejection, leaving, batch
        self._pace = Pace(parse(settings.rate)) if settings.rate else None
        self._straight = straight
        self.quarantine = Quarantine(rt)

    has_room = True  # for the next batch: this one is over when `batch` returns

    def batch(self, items: list[Item]) -> None:
        """Return when each is finished, held, or no longer ours; earlier when the process leaves."""
        self.quarantine.collect()
        items = self._sieve.passed(items)
        if self._batch and not self.quarantine.alone(items):
            self._run(Step(items))
            return
        ordered = in_turns(items, _lease)
        if self._straight is not None and not self.quarantine.alone(items):
            self._go_straight(self._straight, ordered)
            return
        for item in ordered:
            if self._leaving():
                return
            if poisoned := self.quarantine.verdict(item):
                self._rejection.judge(item, poisoned)
            else:
                self._run(self._steps.first(item))

    def _go_straight(self, straight: Straight, items: Sequence[Item]) -> None:
        at = 0
        while at < len(items) and not self._leaving():
            at, result = straight.go(items, at)
            ours = self._handover.take(items[at : at + 1]) if result is not None else []
            self._handover.now = None
            self._handover.pass_on()
            if result is None and at < len(items):
                self._run(self._steps.first(items[at]))
            elif result is not None and ours:
                self._go_on(deque(self._steps.after(Step(ours), result)))
            at += 1

    def turn(self) -> bool:
        """Return whether something is in hand between two batches."""
        return False

    def finish(self) -> None:
        """The process leaves, and nothing is in hand."""

    def _run(self, step: Step) -> None:
        self._go_on(deque([step]))

    def _go_on(self, todo: deque[Step]) -> None:
        while todo and not self._leaving():
            step = todo.popleft()
            if step.wait:
                self.pause(step.items, step.wait)
                if self._leaving():
                    return
            if self._pace is not None:
                self._wait_for_pace(self._pace, step.items)
            if items := self._handover.take(step.items):
                result = self._attempt(items, step.attempt)
                ours = Step(items, step.attempt, away=step.away)
                todo.extendleft(reversed(self._steps.after(ours, result)))

    def _attempt(self, items: Sequence[Item], attempt: int) -> Result:
        timeout = self._settings.handler_timeout
        phase = "handling" if len(items) == 1 else "handling batch"
        enter(self._rt, phase, items[0], None if timeout is None else timeout + MARGIN)
        return self._calling(items, attempt)

    def _wait_for_pace(self, pace: Pace, items: Sequence[Item]) -> None:
        if (seconds := pace.wait(time.monotonic())) > 0:
            self.pause(items, seconds)
        pace.begin(len(items), time.monotonic())

    def pause(self, items: Sequence[Item], seconds: float) -> None:
        """Sleep, unless the records stop being ours or the process leaves."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._leaving():
            if not any(item.lease.live for item in items):
                return
            enter(self._rt, "waiting", items[0], 10.0)
            self._rt.wait(min(left, 1.0))


def _lease(item: Item) -> Lease:
    return item.lease
