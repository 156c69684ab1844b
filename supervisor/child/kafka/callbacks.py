"""RUNS IN A CHILD, in the thread that owns the client: what librdkafka calls from inside poll() and close().

An exception that left a callback would destroy the records that were being fetched; so each is caught, kept, and
raised by the loop afterwards: then the process ends and reads on from what was committed.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from supervisor.child.kafka import errors, gaps, witness
from supervisor.child.kafka.handover import Handover
from supervisor.child.kafka.progress import Progress
from supervisor.child.kafka.report import Report
from supervisor.child.kafka.starts import Starts
from supervisor.child.runtime import Runtime
from supervisor.core.kafka import lag
from supervisor.core.kafka.lag import Place, Statistics
from supervisor.core.spec import ConsumerSettings

log = logging.getLogger(__name__)
P = ParamSpec("P")

SPARE = "no partition is left for this member: the group has more members than partitions"
NONE: Mapping[Place, str] = {}
COMMIT = 90.0  # seconds: a broker that does not answer holds a commit for its socket timeout


def _contained(call: Callable[Concatenate[Callbacks, P], None]) -> Callable[Concatenate[Callbacks, P], None]:
    @functools.wraps(call)
    def inner(self: Callbacks, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            call(self, *args, **kwargs)
        except BaseException as e:
            self.escaped = self.escaped or e

    return inner


class Callbacks:
    def __init__(
        self,
        rt: Runtime,
        settings: ConsumerSettings,
        handover: Handover,
        report: Report,
        starts: Starts,
        progress: Progress,
    ) -> None:
        self._rt, self._settings, self._handover, self._report = rt, settings, handover, report
        self.starts, self.progress = starts, progress
        self.assigned: set[Place] = set()
        self.paused: set[Place] = set()  # as the client has it
        self.statistics: Statistics | None = None
        self.escaped: BaseException | None = None
        self.fatal: KafkaError | None = None
        self.last_error = ""
        self.subscribed = False  # before that the connector says what it waits for
        self._member = ""
        self.group: Any = None  # what the member is in its group, as transactions need it
        self.witness = witness.called(os.environ)

    def reset(self) -> None:
        """For another client."""
        self.progress.end(self.assigned)
        self.assigned, self.paused, self.statistics = set(), set(), None
        self.fatal, self.last_error, self._member = None, "", ""
        self._report.set(joined=False)
        self._report.waiting("commit", None)

    @_contained
    def on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        places = {(p.topic, p.partition) for p in partitions}
        self.assigned |= places
        self.paused -= places
        found = self.starts.assign(consumer, partitions)
        if self._rt.held and places:  # at once: the poll that assigns them may return a record of them, too
            self.starts.hold(consumer, partitions, begun=bool(found.begin))
            self.paused |= places
        self._handover.assign(places, found.done, found.begin)
        self.witness.assigned(places)
        self._tell(consumer)
        if places:  # each rebalance of the group tells also those whom it gives nothing
            log.info("assigned: %s", _list(places))

    @_contained
    def on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """The records in hand finish first; what is done is committed before another member reads on."""
        places = {(p.topic, p.partition) for p in partitions}
        self._handover.withdraw(places)
        self._report.tick("giving up partitions", self._settings.drain_timeout + COMMIT)
        if not self._handover.wait_until_idle(places, self._settings.drain_timeout):
            log.warning("revoked while its records are in hand: another member gets them again")
        self.commit(consumer, places)
        self._drop(consumer, places, "revoked")

    def commit(self, consumer: Consumer, places: set[Place]) -> None:
        """What is handled of these; who reads on begins there."""
        back = self._settings.delivery == "at_most_once"  # committed is more than was begun
        offsets = self._handover.untouched(places) if back else self._handover.committable(places)
        self.witness.handled(offsets)
        done = commit(consumer, offsets, self._handover.notes(offsets))
        if done:
            self.progress.committed(offsets)
        self.witness.committed(offsets, None if done else "not committed")

    @_contained
    def on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """The client has committed what was stored."""
        if error is None:
            offsets = {(p.topic, p.partition): p.offset for p in partitions if p.error is None and p.offset >= 0}
            self.progress.committed(offsets)
            self.witness.committed(offsets)
            self._report.waiting("commit", None)
        elif error.code() in errors.REFUSED:  # the client tries again with its next interval
            self._report.waiting("commit", f"to commit what is handled: {self.missing(error)}")

    @_contained
    def on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Others own them already: a commit now would undo theirs."""
        places = {(p.topic, p.partition) for p in partitions}
        self._handover.withdraw(places)
        self._drop(consumer, places, "lost")
        self._rt.notice("warning", "partitions_lost", f"{_list(places)}: the group gave them to others")

    @_contained
    def on_error(self, error: KafkaError) -> None:
        """Of the client as a whole; about records and groups poll() tells."""
        if error.fatal():
            self.fatal = error
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self.last_error = error.str()
        elif self.subscribed:
            self._report.waiting("broker", f"broker: {self.last_error or error.str()}")
        if self.subscribed and error.code() in errors.REFUSED:
            self._report.waiting("broker", f"broker: {self.missing(error)}")

    @_contained
    def on_statistics(self, text: str) -> None:
        self.statistics = lag.read(json.loads(text))
        if self.statistics.broker_up:
            self._report.waiting("broker", None)
        if self.statistics.joined:
            self._report.waiting("group", None)
            if not self.assigned:
                self._report.set(note=SPARE, joined=True)
        self._report.flush()

    def missing(self, error: KafkaError) -> str:
        topics = ", ".join(self._settings.topics)
        return errors.missing(error, group=self._settings.group_id, topics=topics)

    def _drop(self, consumer: Consumer, places: set[Place], how: str) -> None:
        self._handover.forget(places)
        self.progress.end(places)
        self.assigned -= places
        self._let_flow(consumer, places & self.paused)
        if not self.assigned:
            self._report.waiting("commit", None)
        self.witness.revoked(places)
        self._tell(consumer)
        log.info("%s: %s", how, _list(places))

    def _let_flow(self, consumer: Consumer, places: set[Place]) -> None:
        """The client remembers a pause beyond the loss: given back to us, the partition would stand still for ever."""
        if places:
            consumer.resume([TopicPartition(*place) for place in places])
        self.paused -= places

    def introduce(self, consumer: Consumer) -> None:
        """As soon as the id is known: who dies before its first partition is a dead member too, which is given some."""
        if not self._member:
            self._remember(consumer)

    def refresh(self, consumer: Consumer) -> None:
        """Transactions tell the broker who the member is; that changes with each rebalance, also of others."""
        if self._settings.delivery == "transactional":
            self.group = consumer.consumer_group_metadata()

    def _remember(self, consumer: Consumer) -> None:
        """The member id outlives this process on the black box page: with it a dead member is put out of its group."""
        self._member = consumer.memberid() or ""
        self._rt.member(self._member)  # a place of its own on the page: the main thread writes elsewhere
        self._report.set(member=self._member)

    def _tell(self, consumer: Consumer) -> None:
        self._remember(consumer)
        if self.assigned:
            self._report.set(note=None, joined=True)
            self._report.waiting("group", None)
            self._report.waiting("access", None)


def commit(consumer: Consumer, offsets: dict[Place, int], notes: Mapping[Place, str] = NONE) -> bool:
    """Commit and wait for the answer: whether it is done. That the partition is another's by now is no error.

    Stored first: when it closes, the client commits what is stored, and an older offset would undo this one.
    """
    if not offsets:
        return False
    store(consumer, offsets, notes)
    try:
        consumer.commit(offsets=gaps.partitions(offsets, notes), asynchronous=False)
    except KafkaException as e:
        level = logging.INFO if errors.is_lost_race(e) else logging.WARNING
        log.log(level, "not committed: %s; these records come again", errors.of(e).str())
        return False
    return True


def store(consumer: Consumer, offsets: dict[Place, int], notes: Mapping[Place, str] = NONE) -> None:
    """Mark as handled; the client commits it with its next interval. `notes` stand beside the offsets."""
    try:
        consumer.store_offsets(offsets=gaps.partitions(offsets, notes))
    except KafkaException as e:
        if not errors.is_lost_race(e):
            raise
        log.info("not stored: %s; these records come again", errors.of(e).str())


def config(callbacks: Callbacks) -> dict[str, Any]:
    return {"on_commit": callbacks.on_commit, "error_cb": callbacks.on_error, "stats_cb": callbacks.on_statistics}


def _list(places: set[Place]) -> str:
    shown = [f"{topic}:{partition}" for topic, partition in sorted(places)]
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "")
