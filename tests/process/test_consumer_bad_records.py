"""A record that cannot be handled leaves with its reason, and its partition goes on."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.wire.messages import Notice
from support.eventually import eventually
from support.kafka import WITHIN, Consumer, Kafka, consumer_spec
from support.real_kafka import RealKafka

MODEL = """
class Event:
    @classmethod
    def model_validate(cls, data):
        if not isinstance(data, dict) or "id" not in data:
            raise ValueError("no id")
        return data["id"]

def store(record: Record[Event]):
    tell(record.value)
"""


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (b"", "0 bytes"),
        (b'"\xff"', "UTF-8"),
        (b"{not json", "expected JSON"),
        (b'{"name": 1}', "the shape of Event"),
        (b"[" * 900_000, "expected JSON"),
    ],
    ids=["empty", "not UTF-8", "not JSON", "wrong shape", "large"],
)
def test_what_cannot_be_decoded_goes_to_the_dead_letter_topic_at_once(
    broker: Kafka, tmp_path: Path, bad: bytes, said: str
) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, [{"id": 1}])
    broker.produce(topic, [bad], key=b"k", headers=[("own", b"1")], timestamp=1_700_000_000_000)
    broker.produce(topic, [{"id": 2}])
    with Consumer(tmp_path, consumer_spec(broker, topic, dead_letter_topic=letters), MODEL) as member:
        assert member.wait_got(2) == [1, 2]
        (letter,) = broker.read(letters, 1)
        assert (letter.value(), letter.key(), letter.timestamp()[1]) == (bad, b"k", 1_700_000_000_000)
        headers = dict(letter.headers())
        assert headers["own"] == b"1"
        assert said in headers["kafka_dlt-exception-message"].decode()
        assert headers["kafka_dlt-original-topic"].decode() == topic
        assert headers["kafka_dlt-original-offset"] == struct.pack("!q", 1)
        assert headers["x-forkwarden-source"].decode() == f"{topic}:0:1"
        assert headers["x-forkwarden-attempts"] == b"1"
        notice = member.wait_notice("dead_letter")
        assert f"{topic}:0:1" in notice.text


def test_a_failing_handler_is_tried_again_and_then_the_record_leaves(broker: Kafka, tmp_path: Path) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, ["a", "bad", "c"])
    code = """
def store(record):
    tell([record.value, record.attempt])
    if record.value == "bad":
        raise ValueError("cannot take it") from KeyError("inner")
"""
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}", dead_letter_topic=letters, retries=2)
    with Consumer(tmp_path, spec, code) as member:
        assert member.wait_got(5) == [["a", 1], ["bad", 1], ["bad", 2], ["bad", 3], ["c", 1]]
        headers = dict(broker.read(letters, 1)[0].headers())
        assert headers["kafka_dlt-exception-fqcn"] == b"builtins.ValueError"
        assert headers["kafka_dlt-exception-cause-fqcn"] == b"builtins.KeyError"
        assert headers["kafka_dlt-exception-message"] == b"cannot take it"
        assert b"mine.py" in headers["kafka_dlt-exception-stacktrace"]
        assert headers["kafka_dlt-original-consumer-group"].decode() == f"g-{topic}"
        assert headers["x-forkwarden-attempts"] == b"3"
        assert member.stop() == 0
    assert broker.committed(f"g-{topic}", topic) == 3


def test_a_handler_that_succeeds_at_the_second_attempt_leaves_no_letter(broker: Kafka, tmp_path: Path) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, ["a"])
    code = "def store(record):\n    tell(record.attempt)\n    assert record.attempt == 2\n"
    with Consumer(tmp_path, consumer_spec(broker, topic, dead_letter_topic=letters), code) as member:
        member.wait_got(2)
        member.wait_facts(lambda facts: facts.get("records") == 1, WITHIN)
        assert member.got == [1, 2]
    assert broker.end(letters) == 0


def test_a_resource_that_does_not_close_is_no_success(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, ["a"])
    code = """
def db():
    yield 1
    if not (HERE / "once").exists():
        (HERE / "once").touch()
        raise RuntimeError("commit failed")

def store(record, db):
    tell(record.attempt)
"""
    with Consumer(tmp_path, consumer_spec(broker, topic, resources={"db": "mine:db"}), code) as member:
        assert member.wait_got(2) == [1, 2]
        member.wait_facts(lambda facts: facts.get("records") == 1, WITHIN)


def test_of_a_batch_only_the_bad_record_leaves(broker: Kafka, tmp_path: Path) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, [1, 2, "bad", 4, b"{", 6])
    code = """
def store_many(records: list[Record]):
    values = [record.value for record in records]
    if "bad" in values:
        raise ValueError("no")
    tell(values)
"""
    spec = consumer_spec(
        broker, topic, handler="mine:store_many", group_id=f"g-{topic}", dead_letter_topic=letters, retries=1
    )
    with Consumer(tmp_path, spec, code) as member:
        eventually(lambda: sorted(v for batch in member.got for v in batch) == [1, 2, 4, 6], within=WITHIN)
        assert {letter.value() for letter in broker.read(letters, 2)} == {b'"bad"', b"{"}
        assert member.stop() == 0
    assert broker.committed(f"g-{topic}", topic) == 6


def test_without_a_dead_letter_topic_the_partition_is_held_and_the_others_flow(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic(2)
    broker.produce(topic, ["a", "bad", "c"], partition=0)
    code = """
def store(record):
    if record.value == "bad" and not (HERE / "mended").exists():
        tell("failed")
        raise ValueError("not yet")
    tell(record.value)
"""
    with Consumer(tmp_path, consumer_spec(broker, topic, retries=0, retry_max=0.2), code) as member:
        notice = member.wait_notice("partition_paused", WITHIN)
        assert f"{topic}:0:1" in notice.text
        assert "dead_letter_topic" in notice.text
        broker.produce(topic, [1, 2, 3], partition=1)
        eventually(lambda: {1, 2, 3} <= set(_plain(member.got)), within=WITHIN)
        member.wait_facts(lambda facts: _paused(facts) == [(0, 1)], WITHIN)
        eventually(lambda: member.got.count("failed") >= 3, within=WITHIN, what="it is tried again")
        assert "c" not in member.got
        (tmp_path / "mended").touch()
        eventually(lambda: [v for v in member.got if v in ("bad", "c")] == ["bad", "c"], within=WITHIN)
        facts = member.wait_facts(lambda facts: _paused(facts) == [] and facts.get("note") is None, WITHIN)
        assert facts["partitions_total"] == 2
        assert len([m for m in member.messages if isinstance(m, Notice)]) == 1


def test_the_lag_of_a_held_partition_grows(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, ["bad", 2, 3])
    code = "def store(record):\n    raise ValueError('no')\n"
    with Consumer(tmp_path, consumer_spec(broker, topic, retries=0, retry_max=300.0), code) as member:
        member.wait_notice("partition_paused", WITHIN)
        member.wait_facts(lambda facts: facts.get("lag") == 3, WITHIN)
        broker.produce(topic, list(range(100)))
        member.wait_facts(lambda facts: facts.get("lag") == 103, WITHIN)
        assert member.stop() == 0


def _plain(got: list[Any]) -> list[Any]:
    return [value for value in got if not isinstance(value, list)]


def _paused(facts: dict[str, Any]) -> list[tuple[int, int]]:
    return [(each["partition"], each["position"]) for each in facts.get("partitions", []) if each["paused"]]


@pytest.mark.kafka  # the embedded broker makes a topic of any name
def test_a_letter_that_the_broker_does_not_take_keeps_the_partition(real_kafka: RealKafka, tmp_path: Path) -> None:
    broker = real_kafka.kafka()
    topic = broker.topic()
    broker.produce(topic, ["a", b"{", "c"])
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}", dead_letter_topic="no such topic")
    with Consumer(tmp_path, spec) as member:
        notice = member.wait_notice("partition_paused", WITHIN)
        assert 'dead-letter topic "no such topic"' in notice.text
        assert member.got == ["a"]
        assert member.stop() == 0
    assert broker.committed(f"g-{topic}", topic) == 1


def test_while_a_dependency_is_away_nothing_is_rejected_and_nothing_is_passed(broker: Kafka, tmp_path: Path) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, ["a", "b"])
    code = """
def store(record):
    if not (HERE / "back").exists():
        raise DependencyAway("the mail server refuses connections")
    tell([record.value, record.attempt])
"""
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}", dead_letter_topic=letters, retries=0)
    with Consumer(tmp_path, spec, code) as member:
        member.wait_waiting("the mail server refuses connections")
        assert broker.committed(f"g-{topic}", topic) == -1001
        (tmp_path / "back").touch()
        assert member.wait_got(2) == [["a", 1], ["b", 1]]
        member.wait_facts(lambda facts: facts["waiting"] is None, WITHIN)
    assert broker.end(letters) == 0


def test_a_resource_that_does_not_open_is_waited_for(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, ["a"])
    code = """
def db():
    if not (HERE / "back").exists():
        raise ConnectionRefusedError("no database")
    yield 1

def store(record, db):
    tell(record.value)
"""
    spec = consumer_spec(broker, topic, retries=0, resources={"db": "mine:db"})
    with Consumer(tmp_path, spec, code) as member:
        member.wait_waiting("no database")
        (tmp_path / "back").touch()
        assert member.wait_got(1) == ["a"]


def test_stop_is_heard_while_a_dependency_is_away(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, ["a"])
    code = "def store(record):\n    raise DependencyAway('gone')\n"
    spec = consumer_spec(broker, topic, start_retry_base=1000.0, start_retry_max=1000.0)
    with Consumer(tmp_path, spec, code) as member:
        member.wait_waiting("gone")
        assert member.stop() == 0
