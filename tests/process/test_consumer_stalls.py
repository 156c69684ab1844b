"""A partition that stands still, a group that gives no answer: both are told, and the process asks to be replaced."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from supervisor.child.kafka import consumer, watch
from supervisor.child.kafka.loop import Loop
from supervisor.child.runtime import Runtime
from supervisor.core.kafka import joining, standstill
from supervisor.core.lifecycle.exits import LastExit
from supervisor.core.wire.messages import Notice
from support.eventually import eventually
from support.kafka import WITHIN, Consumer, Kafka, consumer_spec
from support.real_kafka import RealKafka

SOON = 2.0  # seconds


def silent(topic: str, partition: int) -> Callable[[Runtime], int]:
    """A consumer whose client stops to fetch one partition, without a word to anybody."""
    run = consumer.run

    def patched(rt: Runtime) -> int:
        turn, stopped = Loop.turn, set[int]()

        def stopping(self: Loop) -> None:
            if (topic, partition) in self._callbacks.assigned and id(self) not in stopped:
                stopped.add(id(self))
                self.consumer.pause([TopicPartition(topic, partition)])
            turn(self)

        Loop.turn = stopping  # type: ignore[method-assign]  # in a process of its own
        return run(rt)

    return patched


def stalls(member: Consumer) -> list[str]:
    return [m.text for m in member.read() if isinstance(m, Notice) and m.code == "partition_stalled"]


def test_a_partition_that_silently_stops_is_named_and_the_process_asks_to_be_replaced(
    broker: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = broker.topic(2)
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}", stall_after=SOON)
    with monkeypatch.context() as patch:
        patch.setattr(consumer, "run", silent(topic, 1))
        with Consumer(tmp_path, spec) as member:
            member.wait_assigned(2)
            broker.produce(topic, [1, 2], partition=1)
            numbers = iter(range(100, 100_000))

            def found() -> list[str]:
                broker.produce(topic, [next(numbers)], partition=0)
                return stalls(member)

            eventually(found, within=WITHIN)
            assert member.exit_code() == 0
            assert member.bye is not None
            begin, _, end = member.bye.reason.partition(" for ")
            assert (member.bye.code, begin) == (0, f"recycle: {topic}[1] has stood at 0")
            assert end.endswith("s, though the broker has 2 offsets more, up to 2")
            doing = member.doing()
            assert doing is not None
            assert (doing.phase, doing.subject, doing.partition, doing.offset) == (standstill.PHASE, topic, 1, 0)
            flowed = [value for value in member.got if value >= 100]
            assert 1 not in member.got
    assert broker.committed(f"g-{topic}", topic, 0) == len(flowed), "what flowed is committed"
    with Consumer(tmp_path, spec) as following:
        eventually(lambda: {1, 2} <= set(following.got), within=WITHIN)
        assert following.stop() == 0


def test_what_a_new_process_did_not_mend_is_told_and_not_tried_again_at_once(
    broker: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = broker.topic(2)
    before = LastExit(cause="planned", reason="recycle", phase=standstill.PHASE, subject=topic, partition=1, offset=0)
    monkeypatch.setattr(consumer, "run", silent(topic, 1))
    with Consumer(tmp_path, consumer_spec(broker, topic, stall_after=SOON), previous=before) as member:
        member.wait_assigned(2)
        broker.produce(topic, [1, 2], partition=1)
        text = member.wait_notice("partition_stalled", WITHIN).text
        assert "a new process did not help: look at the broker that leads it" in text
        member.wait_facts(lambda facts: facts.get("note") == text, WITHIN)
        assert member.stop() == 0
        assert len(stalls(member)) == 1


EXCUSES = """
from supervisor import StopPartition

def store(record):
    if record.value == "stop":
        raise StopPartition("not this one")
    tell(record.value)
    record.value == "slow" and until("go")
"""


def test_what_has_a_reason_to_stand_is_no_stall(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic(4)
    broker.produce(topic, ["stop", "behind"], partition=0)
    broker.produce(topic, ["all of it"], partition=1)
    broker.produce(topic, ["slow", "next"], partition=2)
    with Consumer(tmp_path, consumer_spec(broker, topic, stall_after=0.4), EXCUSES) as member:
        eventually(lambda: age(member) > 4 * 0.4, within=WITHIN, what="a slow handler, and a partition behind it")
        (tmp_path / "go").touch()
        eventually(lambda: "next" in member.got, within=WITHIN)
        member.order("hold", on=True)
        member.wait_facts(lambda facts: facts.get("held") is True, WITHIN)
        broker.produce(topic, ["later"], partition=3)
        looks(member, 4 * 0.4)
        member.order("hold", on=False)
        eventually(lambda: "later" in member.got, within=WITHIN)
        looks(member, 4 * 0.4)
        assert stalls(member) == []
        assert member.stop() == 0


def age(member: Consumer) -> float:
    doing = member.doing()
    return time.monotonic() - doing.since if doing and doing.phase == "handling" else 0.0


def looks(member: Consumer, seconds: float) -> None:
    """Wait until its polling thread has gone on for so long: its phase is renewed every second at most."""
    began = time.monotonic()
    first = member.wait_doing("polling", within=WITHIN).count
    eventually(
        lambda: (d := member.doing()) and d.count > first + 1 and time.monotonic() - began > seconds, within=WITHIN
    )


# What only a real Kafka does.


@contextmanager
def transaction(kafka: Kafka, topic: str, values: list[str]) -> Iterator[Any]:
    """Written, and neither committed nor aborted yet; a client of its own process would outlive the test's fork."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": f"tests-{topic}", "log_level": 2})
    producer.init_transactions(WITHIN)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, f'"{value}"'.encode())
    producer.flush(WITHIN)
    yield producer


@pytest.mark.kafka
def test_an_open_transaction_is_named_and_no_stall_and_its_marks_are_no_lag(
    real_kafka: RealKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = real_kafka.kafka()
    topic = kafka.topic()
    monkeypatch.setattr(watch, "LOCKED", 1.0)
    with Consumer(tmp_path, consumer_spec(kafka, topic, stall_after=SOON)) as member:
        member.wait_assigned(1)
        with transaction(kafka, topic, ["a", "b"]) as producer:
            note = member.wait_facts(lambda facts: "a transaction is open" in (facts.get("note") or ""), WITHIN)["note"]
            assert note.startswith(f"{topic}[0]: from 0 to 2 nothing may be read yet")
            assert stalls(member) == []
            producer.commit_transaction(WITHIN)
        del producer
        assert member.wait_got(2) == ["a", "b"]
        member.wait_facts(lambda facts: facts.get("note") is None and facts["lag"] == 0, WITHIN)
        assert member.stop() == 0
        assert stalls(member) == []


@pytest.mark.kafka
def test_a_broker_that_is_connected_and_does_not_answer_is_named_and_no_stall(
    own_kafka: RealKafka, tmp_path: Path
) -> None:
    kafka = own_kafka.kafka()
    topic = kafka.topic(2)
    kafka.produce(topic, [1], partition=0)
    with Consumer(tmp_path, consumer_spec(kafka, topic, stall_after=SOON)) as member:
        member.wait_got(1)
        with own_kafka.frozen():
            member.wait_waiting("connected, but it does not answer")
        member.wait_facts(lambda facts: facts["waiting"] is None, WITHIN)
        kafka.produce(topic, [2], partition=1)
        member.wait_got(2)
        assert stalls(member) == []
        assert member.stop() == 0


@pytest.mark.kafka
def test_a_group_that_gives_no_answer_is_told_and_tried_once_more_with_a_new_process(
    real_kafka: RealKafka, tmp_path: Path
) -> None:
    kafka = real_kafka.kafka()
    topic = kafka.topic()
    classic = {"group.protocol": "classic", "session.timeout.ms": 60_000, "partition.assignment.strategy": "range"}
    spec = consumer_spec(kafka, topic, group_id=f"g-{topic}", properties=classic, join_after=4.0)
    kafka.produce(topic, [1])
    with Consumer(tmp_path / "first", spec) as first:
        first.wait_got(1)
        first.kill()  # the broker waits for it, a minute long: it is a member that does not take part
        first.exit_code()
    with Consumer(tmp_path / "second", spec) as second:
        said = second.wait_waiting("for more than")
        assert "another member holds the rebalance up" in said
        assert second.exit_code(WITHIN) in (0, 75), "the broker lets nobody go while it waits for the other one"
        assert second.bye is not None
        assert f'it waits for its partitions from group "g-{topic}" for more than' in second.bye.reason
        doing = second.doing()
        assert doing is not None
        assert doing.phase == joining.PHASE
    before = LastExit(cause="planned", reason="recycle", phase=joining.PHASE)
    with Consumer(tmp_path / "third", spec, previous=before) as third:
        assert "a new process did not help" in third.wait_notice("not_joined", WITHIN).text
        assert third.stop() in (0, 75)


def test_two_bounds_that_are_switched_off_watch_nothing(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, [1])
    spec = consumer_spec(broker, topic, stall_after=None, join_after=None, handler_timeout=math.inf)
    with Consumer(tmp_path, spec) as member:
        assert member.wait_got(1) == [1]
        assert member.stop() == 0
