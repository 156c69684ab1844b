from __future__ import annotations

from typing import Any

import pytest

from supervisor.core.kafka.settings import (
    consumer_properties,
    max_poll_interval,
    producer_properties,
    queue_room,
    refused_by_protocol,
)
from supervisor.core.spec import ConsumerSettings


def made(**properties: Any) -> ConsumerSettings:
    named = {key.replace("_", "."): value for key, value in properties.items()}
    return ConsumerSettings(
        handler="m:f",
        topics=("t",),
        group_id="g",
        auto_offset_reset="earliest",
        bootstrap_servers="b:1",
        properties=named,
    )


def test_how_much_the_client_keeps_is_ours_or_the_users() -> None:
    ours = consumer(made())["queued.min.messages"]
    assert (queue_room(made()), queue_room(made(queued_min_messages="50"))) == (ours, 50)


def consumer(settings: ConsumerSettings, *, classic: bool = False) -> dict[str, Any]:
    return consumer_properties(settings, bootstrap="b:1", client_id="c", classic=classic)


def test_a_record_is_stored_by_us_and_committed_by_the_client() -> None:
    found = consumer(made())
    assert found["enable.auto.offset.store"] is False
    assert found["enable.auto.commit"] is True
    assert (found["bootstrap.servers"], found["group.id"], found["client.id"]) == ("b:1", "g", "c")
    assert found["auto.offset.reset"] == "earliest"
    assert found["group.protocol"] == "consumer"


def test_the_users_properties_win_over_defaults_but_not_over_promises() -> None:
    found = consumer(made(queued_min_messages=5, enable_auto_commit=False, group_id="other"))
    assert found["queued.min.messages"] == 5
    assert found["enable.auto.commit"] is True
    assert found["group.id"] == "g"


def test_what_the_new_protocol_refuses_is_left_out_and_named() -> None:
    settings = made(session_timeout_ms=9000, partition_assignment_strategy="range")
    found = consumer(settings)
    assert not {"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"} & found.keys()
    assert refused_by_protocol(settings) == ["partition.assignment.strategy", "session.timeout.ms"]


def test_a_classic_member_keeps_them() -> None:
    settings = made(session_timeout_ms=9000, group_protocol="classic")
    found = consumer(settings)
    assert (found["session.timeout.ms"], found["heartbeat.interval.ms"]) == (9000, 3000)
    assert found["partition.assignment.strategy"] == "cooperative-sticky"
    assert refused_by_protocol(settings) == []


def test_on_a_broker_without_the_new_protocol_it_is_classic_whatever_was_asked() -> None:
    found = consumer(made(group_protocol="consumer"), classic=True)
    assert found["group.protocol"] == "classic"
    assert found["session.timeout.ms"] == 15_000


@pytest.mark.parametrize(("session", "heartbeat"), [(3000, 1000), (30_000, 3000), (1, 1)])
def test_a_heartbeat_is_never_as_long_as_the_session(session: int, heartbeat: int) -> None:
    assert consumer(made(session_timeout_ms=session), classic=True)["heartbeat.interval.ms"] == heartbeat


def test_a_heartbeat_that_was_set_stays() -> None:
    settings = made(session_timeout_ms=3000, heartbeat_interval_ms=700)
    assert consumer(settings, classic=True)["heartbeat.interval.ms"] == 700


def test_the_producer_shares_the_security_and_nothing_of_the_consumer() -> None:
    settings = made(
        security_protocol="SASL_SSL", sasl_username="u", fetch_wait_max_ms=5, group_id="x", max_poll_interval_ms=9
    )
    found = producer_properties(settings, bootstrap="b:1", client_id="c", deadline=2.5)
    assert (found["security.protocol"], found["sasl.username"]) == ("SASL_SSL", "u")
    assert (found["acks"], found["enable.idempotence"], found["message.timeout.ms"]) == ("all", True, 2500)
    assert not {"fetch.wait.max.ms", "group.id", "max.poll.interval.ms"} & found.keys()


def test_the_poll_interval_is_seconds() -> None:
    assert max_poll_interval(made()) == 300.0
    assert max_poll_interval(made(max_poll_interval_ms=6000)) == 6.0
