"""RUNS IN A CHILD, in its main thread: Kafka to Kafka in transactions (delivery = "transactional").

What the handler produces and the offsets of its records become visible together, or not at all, to whoever reads
with isolation.level = read_committed. The transactional id is this member's own and stays the same over restarts: the
next process ends what the last one left open, and a frozen one that wakes up later is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicPartition

from supervisor.child.kafka import errors
from supervisor.child.kafka.calling import Calling, Result
from supervisor.child.kafka.client_log import ClientLog
from supervisor.child.kafka.handover import Item
from supervisor.child.kafka.outgoing import DEADLINE, Producing, Sent
from supervisor.core.errors import DependencyAway
from supervisor.core.kafka.lag import Place
from supervisor.core.kafka.settings import transactional_properties
from supervisor.core.spec import ConsumerSettings

log = logging.getLogger(__name__)

AGAIN = 0.2  # seconds: by then the other thread knows how the group stands


def transactional_id(settings: ConsumerSettings, name: str, state_dir: str) -> str:
    """Return this member's: no other host or state folder has the same."""
    here = hashlib.blake2b(f"{socket.gethostname()}\0{state_dir}".encode(), digest_size=6).hexdigest()
    return f"{settings.group_id}.{name}@{here}"


class Fenced(Exception):
    """The partition is another member's by now, or is about to be: whoever has it handles its records."""


class Transactional(Producing):
    """A producer whose records belong to one transaction at a time."""

    def __init__(
        self, settings: ConsumerSettings, bootstrap: Callable[[], str], id_: str, group: Callable[[], Any]
    ) -> None:
        """`group`: what the consumer is in its group at this moment, which the broker compares."""
        super().__init__(settings, bootstrap)
        self._id, self._group = id_, group
        self._begun = False

    def send(self, topic: str, *rest: Any, **more: Any) -> Sent:
        self.begin()
        return super().send(topic, *rest, **more)

    def begin(self) -> None:
        """Raises DependencyAway."""
        if self._begun:
            return
        try:
            self._producer().begin_transaction()
        except KafkaException as e:
            raise self._refused(e) from e
        self._begun = True

    def commit(self, offsets: Mapping[Place, int], ours: Callable[[], bool]) -> None:
        """Raises DependencyAway or Fenced; then nothing of it happened, or a new producer ends it.

        The group is read before `ours` is asked: a process that was frozen may have joined anew meanwhile, and with
        what it is now in its group the broker would take offsets of partitions that it has lost.
        """
        self.begin()
        partitions = [TopicPartition(*place, offset) for place, offset in offsets.items()]
        group = self._group()
        if not ours():
            self.abort()
            raise Fenced("another member has its partition by now")
        try:
            producer = self._producer()
            producer.send_offsets_to_transaction(partitions, group, DEADLINE)
            producer.commit_transaction(DEADLINE)
        except KafkaException as e:
            refused = self._refused(e)
            if errors.is_lost_race(e):
                self.abort()
                raise Fenced(errors.of(e).str()) from e
            self.abort()
            raise refused from e
        self._begun = False

    def abort(self) -> None:
        if not self._begun:
            return
        self._begun = False
        try:
            self._producer().abort_transaction(DEADLINE)
        except KafkaException as e:
            log.info("transaction not aborted: %s; the next producer of this member does it", errors.of(e).str())
            self._made = None

    def _refused(self, error: KafkaException) -> DependencyAway:
        found = errors.of(error)
        if found.fatal():
            self._made, self._begun = None, False
        return DependencyAway(f"transaction refused: {found.str()}")

    def _producer(self) -> Producer:
        with self._lock:
            if self._made is None:
                properties = transactional_properties(
                    self._settings, bootstrap=self._bootstrap(), transactional_id=self._id, deadline=DEADLINE
                )
                more: dict[str, Any] = {"logger": ClientLog()}
                producer = Producer(properties, **more)
                producer.init_transactions(DEADLINE)
                self._made = producer
            return self._made


class InTransactions(Calling):
    """One transaction for each call of the handler."""

    def __init__(self, transactional: Transactional, owns: Callable[[Sequence[Item]], bool], *rest: Any) -> None:
        """`owns`: whether the partitions of these are still those that they were read from."""
        super().__init__(*rest)
        self._transactional, self._owns = transactional, owns

    def __call__(self, items: Sequence[Item], attempt: int) -> Result:
        return self._ended(items, super().__call__(items, attempt))

    async def awaited(self, items: Sequence[Item], attempt: int) -> Result:
        result = await super().awaited(items, attempt)
        return await asyncio.to_thread(self._ended, items, result)

    def _ended(self, items: Sequence[Item], result: Result) -> Result:
        if not result.called:
            return result
        error = result.whole_error()
        if error is None:
            try:
                self._transactional.commit(_behind(items, result), lambda: self._owns(items))
            except Fenced as e:
                return self._left(items, e)
            except DependencyAway as e:
                error = e
        else:
            self._transactional.abort()
        return result if error is None else result.as_whole(error)

    def _left(self, items: Sequence[Item], why: Fenced) -> Result:
        """Nothing of it happened. What is still ours is tried again; the rest is dropped when that begins."""
        topic, partition = items[0].lease.place
        text = f"fenced at {topic}:{partition}:{items[0].offset}: {why}; its transaction is aborted"
        log.warning("%s", text)
        self._rt.notice("warning", "fenced", text)
        if self._owns(items):
            time.sleep(AGAIN)
        return Result(untried=range(len(items)))


def _behind(items: Sequence[Item], result: Result) -> dict[Place, int]:
    """Return the offsets behind the records that are done; in each partition they come before those that are not."""
    lost = {*result.failed, *result.untried}
    return {item.lease.place: item.offset + 1 for index, item in enumerate(items) if index not in lost}
