"""What the clients beside the consumer are made with, and how a group hands out partitions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from supervisor.core.kafka.settings import admin_properties, rebalances_by_steps, transactional_properties
from supervisor.core.spec import ConsumerSettings

SETTINGS = ConsumerSettings(
    handler="m:f",
    topics=("t",),
    group_id="g",
    auto_offset_reset="earliest",
    bootstrap_servers="b:1",
    properties={"security.protocol": "SSL", "session.timeout.ms": 1000, "group.id": "other", "client.rack": "r"},
)


def test_a_client_that_only_asks_gets_what_the_broker_needs_to_trust_it() -> None:
    found = admin_properties(SETTINGS, bootstrap="b:2")
    assert found == {
        "bootstrap.servers": "b:2",
        "security.protocol": "SSL",
        "client.rack": "r",
        "log.connection.close": False,
    }


@pytest.mark.parametrize(("timeout", "milliseconds"), [(300.0, 320_000), (None, 900_000), (5000.0, 900_000)])
def test_a_transaction_may_stay_open_as_long_as_the_handler_may_take(timeout: float | None, milliseconds: int) -> None:
    settings = replace(SETTINGS, handler_timeout=timeout)
    found = transactional_properties(settings, bootstrap="b:2", transactional_id="id", deadline=10.0)
    assert found["transaction.timeout.ms"] == milliseconds
    assert (found["transactional.id"], found["enable.idempotence"], found["acks"]) == ("id", True, "all")
    assert found["message.timeout.ms"] <= milliseconds


@pytest.mark.parametrize(
    ("properties", "classic", "by_steps"),
    [
        ({}, False, True),
        ({}, True, True),
        ({"group.protocol": "classic", "partition.assignment.strategy": "range"}, False, False),
        ({"partition.assignment.strategy": "range,roundrobin"}, True, False),
        ({"partition.assignment.strategy": "range"}, False, True),
    ],
)
def test_only_the_older_strategies_of_classic_groups_hand_out_all_at_once(
    properties: dict[str, Any], classic: bool, by_steps: bool
) -> None:
    assert rebalances_by_steps(replace(SETTINGS, properties=properties), classic=classic) is by_steps
