"""RUNS IN A CHILD, in the thread that owns the client: where each partition that comes is begun.

At the committed offset, or further on: where the progress page or the ledger says that more is handled than the
broker was told. What is not known makes nobody skip anything: then it is the committed offset.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaException, TopicPartition

from supervisor.child.kafka import errors
from supervisor.child.kafka.identity import Identity
from supervisor.child.kafka.ledger import Ledger
from supervisor.child.kafka.progress import Progress
from supervisor.core.kafka import claims, page
from supervisor.core.kafka.gaps import Run, decode
from supervisor.core.kafka.lag import Place
from supervisor.core.kafka.settings import rebalances_by_steps
from supervisor.core.spec import ConsumerSettings

log = logging.getLogger(__name__)

WITHIN = 5.0  # seconds for the broker to say what was committed, or where a partition ends


@dataclass(frozen=True, slots=True)
class Found:
    done: Mapping[Place, tuple[int, list[Run]]] = field(default_factory=dict)  # committed, and handled behind that
    begin: Mapping[Place, int] = field(default_factory=dict)  # where it is not at the committed offset


class Starts:
    def __init__(self, settings: ConsumerSettings, progress: Progress, ledger: Ledger | None) -> None:
        self._settings, self._progress, self._ledger = settings, progress, ledger
        self._asks = bool(progress) or ledger is not None or settings.concurrency > 1
        self._identity: Identity | None = None
        self._by_steps = True

    def connected(self, bootstrap: str, cluster: str, incarnation: str, *, classic: bool) -> None:
        """Another client, maybe of another broker."""
        self._identity = Identity(self._settings, bootstrap, cluster, incarnation)
        self._by_steps = rebalances_by_steps(self._settings, classic=classic)

    def assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> Found:
        """Begin with these. Raises when the ledger cannot be read: without it nothing may be handled."""
        if not partitions or not self._asks:
            return Found()
        committed = self._committed(consumer, partitions)
        offsets = {(p.topic, p.partition): max(p.offset, page.NEVER) for p in committed if p.error is None}
        begin = self._further({(p.topic, p.partition) for p in partitions}, offsets)
        begin = {place: offset for place, offset in begin.items() if self._is_there(consumer, place, offset)}
        if begin:
            self._assign(consumer, partitions, begin)
        done = {(p.topic, p.partition): (p.offset, decode(p.offset, p.metadata)) for p in committed if p.error is None}
        return Found(done, begin)

    def hold(self, consumer: Consumer, partitions: list[TopicPartition], *, begun: bool) -> None:
        """Let nothing of these be fetched. `begun`: `assign` has told the client of them already."""
        if not begun:
            self._assign(consumer, partitions, {})
        consumer.pause(partitions)

    def _committed(self, consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
        try:
            return consumer.committed(partitions, timeout=WITHIN)
        except KafkaException as e:
            log.info("what was handled ahead is not known: %s; some records come again", errors.of(e).str())
            return []

    def _further(self, places: set[Place], offsets: dict[Place, int]) -> dict[Place, int]:
        if self._identity is None or not (self._progress or self._ledger):
            return {}
        topics = {topic for topic, _ in places}
        cluster = self._identity.cluster
        ids = {} if cluster is None else self._identity.topics(topics)
        begin: dict[Place, int] = {}
        if cluster is not None:
            scope = claims.scope(cluster, self._settings.group_id)
            topics_of_page = {name: claims.topic_id(topic_id) for name, topic_id in ids.items()}
            begin = self._progress.begin(scope, topics_of_page, offsets, places)
        if self._ledger is not None:
            for place, offset in self._ledger.begin(cluster, ids, places).items():
                if offset > offsets.get(place, page.NEVER):
                    begin[place] = offset
                elif offset < offsets[place]:
                    log.info(
                        "%s:%d: kept up to %d, what comes then up to %d was passed", *place, offset, offsets[place]
                    )
        return begin

    def _is_there(self, consumer: Consumer, place: Place, offset: int) -> bool:
        """An offset behind the end, or before the beginning, would be answered by auto_offset_reset."""
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(*place), timeout=WITHIN)
        except KafkaException as e:
            log.info("%s:%d: where it ends is not known: %s", *place, errors.of(e).str())
            return False
        if low <= offset <= high:
            return True
        log.warning("%s:%d: handled up to %d, but it has %d to %d: not believed", *place, offset, low, high)
        return False

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition], begin: Mapping[Place, int]) -> None:
        for one in partitions:
            place = (one.topic, one.partition)
            if place in begin:
                one.offset = begin[place]
                log.info("%s:%d begins at %d: what comes before was handled", *place, one.offset)
        if self._by_steps:
            consumer.incremental_assign(partitions)
        else:
            consumer.assign(partitions)
