"""A broker that is away, refuses, or freezes is waited for; it is never a crash, and never holds up an exit."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from supervisor.child.kafka.loop import BUDGET
from supervisor.core.wire.messages import Bye
from support.eventually import eventually
from support.kafka import WITHIN, Consumer, EmbeddedBroker, Kafka, consumer_spec
from support.real_kafka import RealKafka


def nowhere() -> Kafka:
    """An address of this machine that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    return Kafka(f"127.0.0.1:{port}", True, lambda partitions: "events")


def test_without_a_broker_it_is_ready_says_what_it_waits_for_and_hears_a_stop(tmp_path: Path) -> None:
    away = nowhere()
    with Consumer(tmp_path, consumer_spec(away, "events")) as member:
        member.wait_ready()
        said = member.wait_waiting("refused")
        assert away.bootstrap in said
        assert member.stop() == 0


def test_a_stop_is_heard_between_two_probes_far_apart(tmp_path: Path) -> None:
    spec = consumer_spec(nowhere(), "events", start_retry_base=1000.0, start_retry_max=1000.0)
    with Consumer(tmp_path, spec) as member:
        member.wait_waiting("refused")
        assert member.stop() == 0


def test_while_it_waits_its_phase_stays_fresh(tmp_path: Path) -> None:
    with Consumer(tmp_path, consumer_spec(nowhere(), "events")) as member:
        member.wait_waiting("refused")
        first = member.wait_doing("connecting")
        eventually(lambda: (now := member.doing()) is not None and now.count > first.count + 1, within=WITHIN)


def test_a_broker_that_never_answers_is_waited_for_and_holds_up_no_stop(tmp_path: Path) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        silent = Kafka(f"127.0.0.1:{mute.getsockname()[1]}", True, lambda partitions: "events")
        with Consumer(tmp_path, consumer_spec(silent, "events")) as member:
            member.wait_waiting(silent.bootstrap)
            assert member.stop() == 0


def test_the_embedded_broker_may_start_later(tmp_path: Path) -> None:
    spec = consumer_spec(Kafka("embedded", True, lambda partitions: ""), "events")
    with Consumer(tmp_path, spec) as member:
        member.wait_waiting("embedded broker: it has not started yet")
        with EmbeddedBroker(tmp_path, {"events": 1}) as server:
            server.kafka().produce("events", [1, 2])
            assert member.wait_got(2) == [1, 2]
            member.wait_facts(lambda facts: facts["waiting"] is None, WITHIN)
            assert member.stop() == 0


def test_an_embedded_broker_that_restarted_is_noticed_and_the_process_asks_to_be_replaced(tmp_path: Path) -> None:
    spec = consumer_spec(Kafka("embedded", True, lambda partitions: ""), "events")
    with EmbeddedBroker(tmp_path, {"events": 1}) as first:
        first.kafka()
        member = Consumer(tmp_path, spec)
        with member:
            member.wait_assigned(1)
            first.kill()
            first.exit_code()
            member.wait_waiting("broker")
            with EmbeddedBroker(tmp_path, {"events": 1}) as second:
                second.kafka()
                assert member.exit_code(WITHIN) == 0
                assert member.bye == Bye(0, "recycle: the embedded broker restarted")


def test_it_is_replaced_at_once_though_the_broker_took_what_it_had_to_commit_with_it(tmp_path: Path) -> None:
    spec = consumer_spec(Kafka("embedded", True, lambda partitions: ""), "events", dead_letter_topic="events.dlq")
    with EmbeddedBroker(tmp_path, {"events": 1, "events.dlq": 1}) as first, Consumer(tmp_path, spec) as member:
        kafka = first.kafka()
        kafka.produce("events", [1, b"{", 2])
        member.wait_got(2)
        first.kill()
        first.exit_code()
        with EmbeddedBroker(tmp_path, {"events": 1, "events.dlq": 1}) as second:
            second.kafka()
            member.wait_doing("recycling", within=2 * BUDGET)  # in the phase before, it would be stuck by then
            assert member.exit_code(within=2 * BUDGET) == 0
            assert member.bye == Bye(0, "recycle: the embedded broker restarted")


def test_a_topic_that_does_not_exist_is_waited_for_and_not_made(
    broker: Kafka, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name = f"later-{os.getpid()}-{time.monotonic_ns()}"
    with Consumer(tmp_path, consumer_spec(broker, name)) as member:
        assert f'topic "{name}" does not exist: create it' in member.wait_waiting("does not exist")
        eventually(lambda: member.facts["waiting"], within=WITHIN)
        if broker.embedded:
            broker.produce(name, [1])  # which makes it there
        else:
            request.getfixturevalue("real_kafka").create_topic(name, 1)
            broker.produce(name, [1])
        assert member.wait_got(1) == [1]
        member.wait_facts(lambda facts: facts["waiting"] is None, WITHIN)


def test_auto_offset_reset_error_stops_the_partition_and_says_so(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, [1])
    with Consumer(tmp_path, consumer_spec(broker, topic, auto_offset_reset="error")) as member:
        notice = member.wait_notice("offset_missing", WITHIN)
        assert f"{topic}:0" in notice.text
        assert member.got == []
        assert member.stop() == 0


@pytest.mark.kafka
def test_a_frozen_broker_does_not_hold_up_the_exit(own_kafka: RealKafka, tmp_path: Path) -> None:
    broker = own_kafka.kafka()
    topic = broker.topic()
    broker.produce(topic, [1, 2, 3])
    with Consumer(tmp_path, consumer_spec(broker, topic, close_timeout=1.0)) as member:
        member.wait_got(3)
        with own_kafka.frozen():
            member.terminate()
            assert member.exit_code(within=20) == 75
            assert member.bye is not None
            assert "did not answer within 1 s" in member.bye.reason


@pytest.mark.kafka
def test_a_broker_that_goes_and_comes_back_is_read_on(own_kafka: RealKafka, tmp_path: Path) -> None:
    broker = own_kafka.kafka()
    topic = broker.topic()
    broker.produce(topic, [1, 2, 3])
    with Consumer(tmp_path, consumer_spec(broker, topic)) as member:
        member.wait_got(3)
        own_kafka.signal(signal.SIGKILL)
        own_kafka.stop()
        member.wait_waiting("refused")
        lines = len(member.log.splitlines())
        own_kafka.start()
        broker.produce(topic, [4])
        eventually(lambda: 4 in member.got, within=90)
        member.wait_facts(lambda facts: facts["waiting"] is None, WITHIN)
        assert lines < 40, "a broker that is away is a few lines, not a flood"
        assert member.stop() == 0
