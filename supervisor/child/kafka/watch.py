"""RUNS IN A CHILD, in the thread that owns the client: does this member get on? If not, it asks to be replaced.

A partition with records to read that stands still, or a group that gives no answer: no error is raised for either,
and a consumer may stay so for days. What has a reason is excused and told: a broker that is away or does not answer,
a pause, a record in hand, a transaction that is open, more members than partitions.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException

from supervisor.child.kafka.callbacks import Callbacks
from supervisor.child.kafka.ends import WITHIN, Ends
from supervisor.child.kafka.handover import Handover
from supervisor.child.kafka.report import Report
from supervisor.child.runtime import Runtime
from supervisor.core.kafka import joining, standstill
from supervisor.core.kafka.lag import Place, Statistics
from supervisor.core.kafka.settings import queue_room
from supervisor.core.kafka.standstill import Look, Stall
from supervisor.core.spec import ConsumerSettings

log = logging.getLogger(__name__)

ELSEWHERE = ("start", "broker", "access")  # what keeps the records away then is told already
NO_ANSWER = 2  # times in a row; once may be a moment's load
LOCKED = 10.0  # seconds; most transactions are over by then


@dataclass(frozen=True, slots=True)
class Wish:
    """To be replaced by another process, and what that one will find on the page of this one."""

    reason: str
    phase: str
    topic: str = ""
    partition: int = -1
    offset: int = -1


class Watch:
    def __init__(
        self,
        rt: Runtime,
        settings: ConsumerSettings,
        handover: Handover,
        report: Report,
        callbacks: Callbacks,
        consumer: Consumer,
        ends: Ends,
    ) -> None:
        self._rt, self._settings, self._handover = rt, settings, handover
        self._report, self._callbacks, self._consumer, self._ends = report, callbacks, consumer, ends
        stall, join = settings.stall_after, settings.join_after
        self._standstills = None if stall is None else standstill.Standstills(stall)
        self._joining = None if join is None else joining.Joining(join)
        self._excused: set[Place] = set()  # at any moment since the last look
        self._looked = time.monotonic()
        self._handled = 0
        self._silent = 0  # questions in a row that the broker did not answer
        self._locked: dict[Place, tuple[int, float]] = {}  # where a transaction is open, since when
        self._told: set[tuple[str, Place, int]] = set()
        self._notes: list[tuple[str, Callable[[], bool]]] = []
        self.wish: Wish | None = None

    def turn(self) -> None:
        """Called about once a second."""
        now, statistics = time.monotonic(), self._callbacks.statistics
        if statistics is None or self._handover.ended:
            return
        self._excused |= self._callbacks.paused | (self._callbacks.assigned - self._handover.clear())
        self._look_at_group(statistics, now)
        self._look_at_leaders(statistics)
        self._look_at_transactions(statistics, now)
        self._take_back()
        if self._standstills is not None and now - self._looked >= self._standstills.every:
            self._look_at_partitions(self._standstills, statistics, now)
            self._looked, self._excused = now, set()

    # Partitions.

    def _look_at_partitions(self, standstills: standstill.Standstills, statistics: Statistics, now: float) -> None:
        calls = self._callbacks
        places = calls.assigned - statistics.leaderless - self._excused
        ends = self._ends.ask(places)
        self._answered(ends is not None)
        handled, self._handled = self._handled, self._handover.handled
        flows = self._handled != handled or self._handover.busy
        away = ends is None or self._report.waits(*ELSEWHERE)
        positions = {} if away else self._handover.positions()
        room = queue_room(self._settings)
        looks = {
            place: Look(
                statistics.starts.get(place) if positions.get(place) is None else positions[place],
                end,
                statistics.fetched.get(place),
                statistics.delivered.get(place),
                statistics.queued.get(place, 0),
                room,
            )
            for place, end in ({} if away else ends or {}).items()
        }
        for stall in standstills.look(looks, now, flows=flows):
            self._stalled(stall)

    def _answered(self, answered: bool) -> None:
        self._silent = 0 if answered else self._silent + 1
        if self._silent == 0:
            self._report.waiting("answer", None)
        elif self._silent >= NO_ANSWER and not self._report.waits(*ELSEWHERE):
            self._report.waiting("answer", "broker: connected, but it does not answer: frozen, or overloaded")

    def _stalled(self, stall: Stall) -> None:
        """Replace the process; that did not help before: say where to look, and try it again much later."""
        topic, partition = stall.place
        before = self._rt.birth.previous
        again = (
            before is not None
            and (before.phase, before.partition, before.offset) == (standstill.PHASE, partition, stall.position)
            and topic.startswith(before.subject)  # a long one was cut
        )
        if not again or stall.seconds >= standstill.PATIENCE * (self._settings.stall_after or 0.0):
            self._leave(Wish(stall.words(), standstill.PHASE, topic, partition, stall.position), "partition_stalled")
        elif self._once("again", stall.place, stall.position):
            text = f"{stall.words()}; a new process did not help: look at the broker that leads it"
            self._stand(text, lambda: self._stands_at(stall.place, stall.position))
            self._rt.notice("error", "partition_stalled", text)

    def _stands_at(self, place: Place, position: int) -> bool:
        return place in self._callbacks.assigned and self._handover.positions().get(place) in (None, position)

    def _look_at_leaders(self, statistics: Statistics) -> None:
        without = sorted(statistics.leaderless & self._callbacks.assigned)
        named = ", ".join(f"{topic}[{partition}]" for topic, partition in without[:5])
        more = f" and {len(without) - 5} more" if len(without) > 5 else ""
        text = f"broker: {named}{more}: no broker leads it at the moment" if without else None
        self._report.waiting("leader", text)

    def _look_at_transactions(self, statistics: Statistics, now: float) -> None:
        """What may not be read yet is no lag of ours."""
        positions = self._handover.positions() if statistics.locked else {}
        before, self._locked = self._locked, {}
        for place, (stable, high) in statistics.locked.items():
            position = statistics.starts.get(place) if positions.get(place) is None else positions[place]
            if place not in self._callbacks.assigned or position is None or position < stable:
                continue
            known = before.get(place)
            since = known[1] if known is not None and known[0] == stable else now
            self._locked[place] = stable, since
            if now - since >= LOCKED and self._once("transaction", place, stable):
                self._tell_locked(place, stable, high)

    def _stand(self, text: str, holds: Callable[[], bool]) -> None:
        """As a note of its own, and taken back when it holds no more."""
        self._report.stand(text, holds)
        self._notes.append((text, holds))

    def _take_back(self) -> None:
        over = [text for text, holds in self._notes if not holds()]
        if over:
            self._notes = [each for each in self._notes if each[0] not in over]
            self._report.clear(over)

    def _tell_locked(self, place: Place, stable: int, high: int) -> None:
        text = f"{place[0]}[{place[1]}]: from {stable} to {high} nothing may be read yet: a transaction is open"
        self._stand(f"{text}, its producer has not ended it", lambda: self._locked.get(place, (-1, 0.0))[0] == stable)

    # The group.

    def _look_at_group(self, statistics: Statistics, now: float) -> None:
        if self._joining is None:
            return
        waits = not self._callbacks.assigned and not statistics.joined and statistics.broker_up
        late = self._joining.look(now, waits=waits and not self._report.waits(*ELSEWHERE))
        if self._joining.seconds:
            words = self._joining.words(self._settings.group_id, *statistics.group)
            self._report.waiting("group", words)
            if late:
                self._no_answer_of_the_group(self._joining, words)

    def _no_answer_of_the_group(self, join: joining.Joining, words: str) -> None:
        try:
            self._consumer.list_topics(self._settings.topics[0], timeout=WITHIN)
        except KafkaException:
            join.seconds = 0.0  # it is the broker that does not answer
            return
        before = self._rt.birth.previous
        if before is None or before.phase != joining.PHASE:
            self._leave(Wish(f"it waits for {words}", joining.PHASE), "not_joined")
        elif self._once("join", ("", -1), -1):
            self._rt.notice("error", "not_joined", f"it still waits for {words}; a new process did not help")

    # Both.

    def _leave(self, wish: Wish, code: str) -> None:
        if self.wish is None:
            self.wish = wish
            log.error("%s: this process asks to be replaced", wish.reason)
            self._rt.notice("error", code, f"{wish.reason}: its process is replaced")

    def _once(self, what: str, place: Place, offset: int) -> bool:
        key = what, place, offset
        new = key not in self._told
        self._told.add(key)
        return new
