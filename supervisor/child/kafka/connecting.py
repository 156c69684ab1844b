"""RUNS IN A CHILD, in the thread that owns the client: from nothing to a client that subscribed.

The client's constructor never fails when the broker is away, and poll() only returns nothing; so the broker is
asked for its topics, again and again with backoff, for ever. That is waiting, not a failure of this process.
"""

from __future__ import annotations

import logging
import random
import socket
import time
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message

from supervisor.child.broker.address import read
from supervisor.child.kafka import errors
from supervisor.child.kafka.callbacks import Callbacks, config
from supervisor.child.kafka.client_log import CONSUMER_GROUPS, ClientLog
from supervisor.child.kafka.handover import Handover
from supervisor.child.kafka.report import Report
from supervisor.child.runtime import Runtime
from supervisor.core.kafka import retry_topics
from supervisor.core.kafka.settings import consumer_properties, refused_by_protocol
from supervisor.core.lifecycle.backoff import delay
from supervisor.core.spec import ConsumerSettings

log = logging.getLogger(__name__)

PROBE = 5.0  # seconds for one answer; less at first, so that people soon hear that there is none
BUDGET = 30.0  # seconds for a probe of a few topics; the backoff between probes goes on ticking


class Connector:
    """Remembers between two clients of one process what it learned: the address, the group protocol."""

    def __init__(
        self, rt: Runtime, settings: ConsumerSettings, handover: Handover, report: Report, callbacks: Callbacks
    ) -> None:
        self._rt, self._settings, self._handover = rt, settings, handover
        self._report, self._callbacks = report, callbacks
        self._topics = (*settings.topics, *retry_topics.names(settings.topics, settings.retry_topics))
        self.embedded = settings.bootstrap_servers == "embedded"
        self.bootstrap = "" if self.embedded else settings.bootstrap_servers
        self.incarnation = ""
        self._cluster = ""  # its id; a callback cannot ask for it, the client would end the process
        self.classic = settings.properties.get("group.protocol") == "classic"
        self._failures = 0
        self.early: list[Message] = []  # what poll() said before the loop began

    def connect(self) -> tuple[Consumer, ClientLog] | None:
        """Return a subscribed client, or None when the process leaves before."""
        while not self._handover.ended:
            if not self._find():
                self._wait("embedded broker: it has not started yet")
                continue
            found = self._try()
            if found is not None:
                return found
        return None

    def broker_is_another(self) -> bool:
        """Return whether the embedded broker was replaced; the new one begins at offset 0, without any group."""
        if not self.embedded:
            return False
        address = read(self._rt.paths.broker)
        return address is not None and address.incarnation != self.incarnation

    def become_classic(self) -> bool:
        """Return False when it is classic already: then the protocol is not what is wrong."""
        was, self.classic = self.classic, True
        return not was

    def retry_later(self, reason: str) -> None:
        """Before another client is made: the last one ended with `reason`."""
        self._wait(reason)

    def _find(self) -> bool:
        if not self.embedded:
            return True
        address = read(self._rt.paths.broker)
        if address is None:
            return False
        self.bootstrap, self.incarnation = address.bootstrap_servers, address.incarnation
        return True

    def _try(self) -> tuple[Consumer, ClientLog] | None:
        """One client. It is kept while it only waits for the broker, which it finds by itself."""
        client_log = ClientLog()
        self.early = []
        self._callbacks.subscribed = False
        consumer = self._make(client_log)
        while not self._handover.ended and not self.broker_is_another():
            reason = self._probe(consumer)
            if reason is None:
                if not self.classic and client_log.requests and CONSUMER_GROUPS not in client_log.requests:
                    log.info("this broker has no groups of the new protocol (KIP-848): joining as a classic member")
                    self.classic = True
                    break
                self._subscribe(consumer)
                return consumer, client_log
            self._wait(reason)
        consumer.close()
        return None

    def _make(self, client_log: ClientLog) -> Consumer:
        settings = self._settings
        client_id = f"{settings.group_id}.{self._rt.spec.name}@{socket.gethostname()}"
        properties = consumer_properties(settings, bootstrap=self.bootstrap, client_id=client_id, classic=self.classic)
        if dropped := refused_by_protocol(settings):
            log.warning("left out, the broker decides them in this group protocol: %s", ", ".join(dropped))
        # which requests the broker knows is told in debug lines only
        properties["debug"] = ",".join(filter(None, [str(properties.get("debug", "")), "feature"]))
        more: dict[str, Any] = {"logger": client_log}
        return Consumer({**properties, **config(self._callbacks)}, **more)

    def _probe(self, consumer: Consumer) -> str | None:
        """Return what is missing, None when the broker and all topics are there."""
        self._report.tick("connecting", BUDGET)
        try:
            for topic in self._topics:
                within = min(PROBE, 1.5 + self._failures)
                answer = consumer.list_topics(topic if not topic.startswith("^") else None, timeout=within)
                self._report.tick("connecting", BUDGET)
                self._cluster = answer.cluster_id or ""
                described = answer.topics.get(topic)
                if described is not None and described.error is not None:
                    return errors.missing(described.error, group=self._settings.group_id, topics=f'topic "{topic}"')
        except KafkaException as e:
            self._poll(consumer)  # the reason comes through the callback
            return f"broker {self.bootstrap}: {self._callbacks.last_error or errors.of(e).str()}"
        self._poll(consumer)
        return None

    def _poll(self, consumer: Consumer) -> None:
        """A client asks for its group at once, and tells the answer only once: the loop must hear of it too."""
        if message := consumer.poll(0):
            self.early.append(message)

    def _subscribe(self, consumer: Consumer) -> None:
        self._failures = 0
        self._callbacks.subscribed = True
        self._report.waiting("start", None)
        self._report.waiting("group", f'its partitions from group "{self._settings.group_id}"')
        calls = self._callbacks
        calls.starts.connected(self.bootstrap, self._cluster, self.incarnation, classic=self.classic)
        consumer.subscribe(
            list(self._topics), on_assign=calls.on_assign, on_revoke=calls.on_revoke, on_lost=calls.on_lost
        )

    def _wait(self, reason: str) -> None:
        """Say it and sleep, in slices, so that the main thread sees progress."""
        self._failures += 1
        log.log(logging.WARNING if self._failures == 1 else logging.DEBUG, "waiting: %s", reason)
        self._report.waiting("start", reason)
        base, cap = self._settings.start_retry_base, self._settings.start_retry_max
        end = time.monotonic() + delay(self._failures + 1, base=base, cap=cap, jitter=0.2, draw=random.random())
        while (left := end - time.monotonic()) > 0 and not self._handover.ended:
            self._report.tick("connecting", BUDGET)
            self._handover.wait(min(left, 0.1 if self.embedded else 1.0), for_room=False)
            if self.broker_is_another():
                return
