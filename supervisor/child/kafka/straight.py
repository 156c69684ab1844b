"""RUNS IN A CHILD, in its main thread: the straight way of most records: the handler, and around it what promises need.

A handler that takes its record and nothing else is called with no lock taken and nothing made but the record itself.
What is out of the ordinary (an exception, a record that failed before) is left to the long way: see handling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from supervisor.child.kafka.calling import Calling, Result
from supervisor.child.kafka.handler import Handler, record
from supervisor.child.kafka.handover import Handover, Item
from supervisor.child.kafka.rejection import MARGIN, Rejection
from supervisor.child.kafka.steps import Steps
from supervisor.child.runtime import Runtime
from supervisor.core.kafka.verdicts import BatchError
from supervisor.core.spec import ConsumerSettings

Enter = Callable[[int, int], None]  # with partition and offset


def straight(
    rt: Runtime,
    settings: ConsumerSettings,
    handover: Handover,
    handler: Handler,
    calling: Calling,
    steps: Steps,
    rejection: Rejection,
    leaving: Callable[[], bool],
) -> Straight | None:
    """Return None when each record needs more than the handler."""
    more = settings.filter or settings.rate or settings.max_age is not None or settings.retry_topics
    if handler.straight is None or more or settings.max_runs is not None or type(calling) is not Calling:
        return None
    if settings.delivery != "at_least_once":  # the others have more to do at a record's beginning or end
        return None
    return Straight(rt, settings, handover, handler, handler.straight, calling, steps, rejection, leaving)


class Straight:
    def __init__(
        self,
        rt: Runtime,
        settings: ConsumerSettings,
        handover: Handover,
        handler: Handler,
        call: Callable[[Any], Any],
        calling: Calling,
        steps: Steps,
        rejection: Rejection,
        leaving: Callable[[], bool],
    ) -> None:
        self._rt, self._handover, self._handler, self._call = rt, handover, handler, call
        self._calling, self._steps, self._rejection, self._leaving = calling, steps, rejection, leaving
        timeout = settings.handler_timeout
        self._budget = None if timeout is None else timeout + MARGIN
        self._enters: dict[str, Enter] = {}

    def go(self, items: Sequence[Item], at: int) -> tuple[int, Result | None]:
        """Handle one after the other from `at` on.

        Return where it ended: behind the last, or at a record that needs the long way; with the result of its first
        attempt when there was one. It ends early when the process leaves.
        """
        rt, handover, call, decode = self._rt, self._handover, self._call, self._handler.decode
        rejection, enters = self._rejection, self._enters
        if self._steps.waits:
            return at, None
        for index in range(at, len(items)):
            lease, offset, message = item = items[index]
            handover.now = lease
            if rt.woken:
                rt.woken = False
                handover.pass_on()
                if self._leaving():
                    break
            if not lease.live:
                handover.now = None
                continue
            if rejection.troubles and rejection.attempts(item):
                return index, None
            topic, partition = lease.place
            (enters.get(topic) or self._enter(topic))(partition, offset)
            given = None
            try:
                given = record(message, decode(message), 1)
                said = call(given)
            except MemoryError:
                raise
            except Exception as e:
                return index, Result(failed={0: e}) if given is None else self._calling.result_of([given], e)
            if isinstance(said, BatchError):
                return index, self._calling.result_of([given], said)
            handover.finish_one(lease, offset)
            if rejection.tallies or rejection.troubles:
                rejection.done((item,))
        return len(items), None

    def _enter(self, topic: str) -> Enter:
        found = self._enters[topic] = self._rt.entering("handling", topic, self._budget)
        return found
