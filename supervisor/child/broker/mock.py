"""RUNS IN A CHILD: the embedded demo broker, for a first look and for tests. In memory: what it held ends with it."""

from __future__ import annotations

import logging
import os
import uuid

from supervisor.child.broker.address import publish, withdraw
from supervisor.child.broker.librdkafka import BrokerError, MockCluster
from supervisor.child.loader import LoadError
from supervisor.child.runtime import Runtime
from supervisor.core.errors import Exit
from supervisor.core.kafka.address import Address
from supervisor.core.spec import BrokerSettings

log = logging.getLogger(__name__)


def run(rt: Runtime) -> int:
    """Serve until the process is to leave. Raises LoadError when this librdkafka has no such broker."""
    assert isinstance(rt.spec.settings, BrokerSettings)
    cluster = _start(rt.spec.settings)
    address = Address(cluster.bootstrap_servers, uuid.uuid4().hex, os.getpid())
    publish(rt.paths.broker, address)
    try:
        rt.facts(demo=True)
        rt.enter("serving", address.bootstrap_servers)
        rt.ready()
        log.warning("demo broker at %s: in memory, for development only", address.bootstrap_servers)
        while not rt.leaving:
            rt.wait(None)
            _take_orders(rt, cluster)
    finally:
        withdraw(rt.paths.broker, address)
    return Exit.OK


def _take_orders(rt: Runtime, cluster: MockCluster) -> None:
    while order := rt.next_order():
        if order.verb == "topic":
            try:
                cluster.create_topic(str(order.args["name"]), int(order.args["partitions"]))
            except BrokerError as e:
                log.error("%s", e)  # noqa: TRY400  no traceback tells more


def _start(settings: BrokerSettings) -> MockCluster:
    try:
        cluster = MockCluster()
        for topic, partitions in settings.topics.items():
            cluster.create_topic(topic, partitions)
    except BrokerError as e:
        raise LoadError(str(e), permanent=True) from e
    return cluster
