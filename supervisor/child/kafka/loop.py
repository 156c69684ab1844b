"""RUNS IN A CHILD, in the thread that owns the client: poll, hand over, store what was handled.

All calls on the client come from this thread: a second one would starve. poll(short) + consume(n, 0) behaves
alike in every version of the client. A partition is paused late, only when a batch is already slow: a pause
throws away what was fetched ahead.
"""

from __future__ import annotations

import logging
import time

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from supervisor.child.kafka import errors
from supervisor.child.kafka.callbacks import Callbacks, store
from supervisor.child.kafka.client_log import ClientLog
from supervisor.child.kafka.committing_first import committed
from supervisor.child.kafka.delays import Delays
from supervisor.child.kafka.ends import Ends
from supervisor.child.kafka.gaps import Gaps
from supervisor.child.kafka.handover import Handover, Hold
from supervisor.child.kafka.report import Report
from supervisor.child.kafka.watch import Watch
from supervisor.child.runtime import Runtime
from supervisor.core.kafka import lag
from supervisor.core.kafka.lag import Place
from supervisor.core.kafka.settings import max_poll_interval
from supervisor.core.spec import ConsumerSettings

log = logging.getLogger(__name__)

POLL = 0.05  # seconds, while handled records are to be stored
POLL_AT_REST = 0.2
BUDGET = 10.0  # of phase "polling"


class Loop:
    """One subscribed client."""

    def __init__(
        self,
        rt: Runtime,
        settings: ConsumerSettings,
        handover: Handover,
        report: Report,
        callbacks: Callbacks,
        client: tuple[Consumer, ClientLog],
    ) -> None:
        self._rt, self._settings = rt, settings
        self._handover, self._report, self._callbacks = handover, report, callbacks
        self.consumer, self._client_log = client
        self._first = settings.delivery == "at_most_once"  # committed before it is handled
        self._patience = min(1.0, max_poll_interval(settings) / 3)
        self._full_since: float | None = None  # the main thread has no room for records
        self._slow = False  # and that for so long that fetching is paused
        self._ends = Ends(self.consumer)
        self.watch = Watch(rt, settings, handover, report, callbacks, self.consumer, self._ends)
        self._gaps = Gaps(self.consumer, handover, told=settings.concurrency > 1)
        self._delays = Delays(self.consumer, handover, settings)
        self._holds: dict[Place, tuple[Hold, float]] = {}  # until when

    def turn(self) -> None:
        """Raises errors.Fatal when this client is of no more use."""
        self._report.tick("polling", BUDGET)
        self._callbacks.introduce(self.consumer)
        self._callbacks.refresh(self.consumer)
        self._store()
        self._hold_and_release()
        if self._handover.has_room and not (self._first and self._handover.busy):
            self._full_since, self._slow = None, False
            self._arrange()
            self._fetch()
        else:
            self._keep_membership()
        self._check()
        self._tell()

    def finish(self) -> None:
        """The last offsets; what was stored goes out with them."""
        self._callbacks.commit(self.consumer, self._callbacks.assigned)
        self._handover.forget(self._callbacks.assigned)  # closing revokes: nothing is left to commit then

    def _fetch(self) -> None:
        first = self.consumer.poll(POLL if self._handover.busy else POLL_AT_REST)
        if first is None:
            return
        more = self.consumer.consume(self._settings.batch_size - 1, 0) if self._settings.batch_size > 1 else []
        self.accept([first, *more])

    def accept(self, messages: list[Message]) -> None:
        """Records to the main thread; what is none is looked at."""
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
            else:
                self._event(error, message)
        if records:
            if self._client_log.resets:
                self._client_log.resets.tell(self._rt, records)
            self._report.waiting("access", None)
            due = self._callbacks.witness.read(self._delays.due(records))
            self._handover.offer(committed(self.consumer, due) if self._first else due)

    def _event(self, error: KafkaError, message: Message) -> None:
        """What poll() says instead of a record."""
        code = error.code()
        if error.fatal():
            self._callbacks.fatal = error
        elif code == KafkaError._AUTO_OFFSET_RESET:
            self._no_offset(error, message)
        elif code in errors.REFUSED or code in errors.NO_TOPIC:
            reason = self._callbacks.missing(error)
            log.warning("waiting: %s", reason)
            self._report.waiting("access", reason)
        elif code == KafkaError._MAX_POLL_EXCEEDED:
            log.error("put out of the group: %s", error.str())
        else:
            log.warning("%s", error.str())

    def _no_offset(self, error: KafkaError, message: Message) -> None:
        where = f"{message.topic()}:{message.partition()}"
        text = f'{where}: no valid committed offset, and auto_offset_reset is "error": the partition stands still'
        log.error("%s (%s)", text, error.str())
        self._report.set(note=text)
        self._report.flush()
        self._rt.notice("error", "offset_missing", text)

    def _keep_membership(self) -> None:
        """The main thread has enough. Wait a moment; after that pause, and poll only to stay in the group."""
        now = time.monotonic()
        self._full_since = self._full_since or now
        if now - self._full_since < self._patience:
            self._handover.wait(POLL, for_room=True)
            return
        self._slow = True
        self._arrange()
        if message := self.consumer.poll(POLL):
            self.accept([message])

    def _arrange(self) -> None:
        """Pause and resume what differs from what should be; new partitions come unpaused: see callbacks._let_flow."""
        assigned = self._callbacks.assigned
        wanted = set(assigned) if self._slow or self._rt.held else (self._holds.keys() | self._delays.places) & assigned
        now_paused = self._callbacks.paused
        if pause := wanted - now_paused:
            self.consumer.pause([TopicPartition(*place) for place in pause])
        if resume := now_paused - wanted:
            self.consumer.resume([TopicPartition(*place) for place in resume])
        self._callbacks.paused = wanted

    def _hold_and_release(self) -> None:
        now = time.monotonic()
        for hold in self._handover.new_holds():
            if self._handover.is_current(hold):
                self._holds[hold.lease.place] = (hold, now + hold.seconds)
        for place, (hold, until) in list(self._holds.items()):
            if not self._handover.is_current(hold):
                del self._holds[place]
            elif now >= until:
                del self._holds[place]
                self._set_back(hold)
        self._delays.release()
        self._arrange()

    def _set_back(self, hold: Hold) -> None:
        """Paused until here, so nothing behind the record was handed out in between."""
        position = hold.lease.prefix.position
        assert position is not None  # of the record that is held, or of one before it
        self.consumer.seek(TopicPartition(*hold.lease.place, position))
        self._handover.reopen(hold)

    def _store(self) -> None:
        if offsets := self._handover.moved():
            self._callbacks.witness.handled(offsets)
            if self._first:
                self._callbacks.witness.committed(offsets)  # before they were handled; who judges wants them behind
            else:
                store(self.consumer, offsets, self._handover.notes(offsets))
        self._gaps.tell()

    def _check(self) -> None:
        if self._callbacks.escaped is not None:
            raise self._callbacks.escaped
        if self._callbacks.fatal is not None:
            fatal, self._callbacks.fatal = self._callbacks.fatal, None
            raise errors.Fatal(fatal)

    def _tell(self) -> None:
        if not self._report.is_due():
            return
        calls = self._callbacks
        statistics = self._ends.added(calls.statistics, calls.paused)
        clear = self._handover.clear() - calls.paused
        found = lag.standings(calls.assigned, self._handover.positions(), statistics, self._holds.keys(), clear)
        self.watch.turn()
        self._report.set(records=self._handover.handled, held=self._rt.held, **lag.facts(found))
        self._report.flush()
        self._client_log.flush()
