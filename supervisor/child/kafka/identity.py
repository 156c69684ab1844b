"""RUNS IN A CHILD, in the thread that owns the client: which cluster and which topics the offsets belong to.

A name is not enough: a topic may be deleted and made anew, and begins at 0 again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from supervisor.child.kafka.client_log import ClientLog
from supervisor.core.kafka.settings import admin_properties
from supervisor.core.spec import ConsumerSettings

log = logging.getLogger(__name__)

WITHIN = 3.0  # seconds for each answer
_MOCK = "mockCluster"  # how the cluster ids of librdkafka's mock begin
_NO_ID = "0:0"  # brokers before 2.8 know no ids


class Identity:
    """Of what one client reads."""

    def __init__(self, settings: ConsumerSettings, bootstrap: str, cluster: str, incarnation: str) -> None:
        """`cluster`: its id. `incarnation`: of the embedded broker, which begins anew; else ""."""
        self._settings, self._bootstrap, self._incarnation = settings, bootstrap, incarnation
        self.cluster = f"{cluster}/{incarnation}" if cluster else None
        self._mock = cluster.startswith(_MOCK)
        self._said = False

    def topics(self, names: Iterable[str]) -> dict[str, str]:
        """Return their ids, of those whose id is known; asked anew each time, for a topic may be a new one."""
        if self._mock:  # answers no such question, and deletes no topic while it lives
            return {name: name for name in names} if self._incarnation else {}
        wanted = sorted(set(names))
        properties = admin_properties(self._settings, bootstrap=self._bootstrap)
        more: dict[str, Any] = {"logger": ClientLog()}
        admin = AdminClient({**properties, **more})
        answers = admin.describe_topics(TopicCollection(wanted), request_timeout=WITHIN)
        found: dict[str, str] = {}
        for name, answer in answers.items():
            try:
                topic_id = answer.result(WITHIN + 1.0).topic_id
            except (KafkaException, TimeoutError) as e:
                self._say(f"{name}: {e}")
                continue
            text = f"{topic_id.get_most_significant_bits()}:{topic_id.get_least_significant_bits()}"
            if text != _NO_ID:
                found[name] = text
            else:
                self._say(f"{name}: this broker gives topics no ids")
        return found

    def _say(self, why: str) -> None:
        log.log(logging.DEBUG if self._said else logging.INFO, "what was handled is not looked up: %s", why)
        self._said = True
