"""A failed record waits in a topic of its own while its partition goes on; then it is handled, or a dead letter."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.kafka.retry_topics import journey, name
from support.eventually import eventually
from support.kafka import WITHIN, Consumer, EmbeddedBroker, Kafka, consumer_spec
from support.real_kafka import RealKafka

DELAYS = (0.2, 0.4)


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.kafka)])
def retried(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A broker, and a topic with its retry topics."""
    if request.param == "real":
        real: RealKafka = request.getfixturevalue("real_kafka")
        topic = real.create(1)
        for delay in DELAYS:
            real.create_topic(name(topic, delay), 1)
        yield real.kafka(), topic
        return
    topics = {"orders": 1, "letters": 1, "others": 1, **{name("orders", delay): 1 for delay in DELAYS}}
    with EmbeddedBroker(tmp_path / "broker", topics) as broker:
        kafka = broker.kafka()
        kafka.create = lambda partitions: "letters"
        yield kafka, "orders"


BAD = """
def store(record):
    tell([record.value, record.attempt, record.id, [n for n, _ in record.headers], time.time()])
    if record.value == "bad":
        raise ValueError("no")
    if record.value == "flaky" and record.attempt < 3:
        raise ValueError("not yet")
"""


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_record_goes_from_delay_to_delay_as_it_was(retried: tuple[Kafka, str], tmp_path: Path, lanes: int) -> None:
    broker, topic = retried
    letters = broker.topic()
    broker.produce(topic, ["bad"], key=b"k", headers=[("own", b"1")], timestamp=1_700_000_000_000)
    broker.produce(topic, ["flaky", "good"])
    spec = consumer_spec(
        broker,
        topic,
        group_id=f"g-{topic}",
        dead_letter_topic=letters,
        retry_topics=DELAYS,
        retries=0,
        concurrency=lanes,
    )
    with Consumer(tmp_path, spec, BAD) as member:
        letter = broker.read(letters, 1)[0]
        eventually(lambda: len(member.got) >= 7, within=WITHIN)
        calls: dict[str, list[Any]] = {}
        for value, attempt, record_id, headers, at in member.got:
            calls.setdefault(value, []).append((attempt, record_id, headers, at))
        assert [call[:3] for call in calls["bad"]] == [(n, f"{topic}:0:0", ["own"]) for n in (1, 2, 3)]
        assert [call[:2] for call in calls["flaky"]] == [(n, f"{topic}:0:1") for n in (1, 2, 3)]
        times = [call[3] for call in calls["bad"]]
        assert times[1] - times[0] >= DELAYS[0]
        assert times[2] - times[1] >= DELAYS[1]
        facts = member.wait_facts(lambda facts: (facts.get("outcomes") or {}).get("dead_letters") == 1, WITHIN)
        assert facts["outcomes"] == {"retry_topic": 4, "dead_letters": 1}
        assert member.stop() == 0
    headers = dict(letter.headers())
    assert (letter.value(), letter.key(), letter.timestamp()[1]) == (b'"bad"', b"k", 1_700_000_000_000)
    assert [n for n, _ in letter.headers() if n.startswith("x-forkwarden-retry")] == []
    assert headers["own"] == b"1"
    assert headers["kafka_dlt-original-topic"].decode() == topic
    assert headers["kafka_dlt-original-offset"] == struct.pack("!q", 0)
    assert headers["x-forkwarden-attempts"] == b"3"
    assert broker.committed(f"g-{topic}", topic) == 3
    assert broker.committed(f"g-{topic}", name(topic, DELAYS[0])) == 2
    copy = broker.read(name(topic, DELAYS[0]), 1)[0]
    found = journey(copy.headers())
    assert found is not None
    assert (found.group, found.stage, found.attempts) == (f"g-{topic}", 1, 1)
    assert copy.timestamp()[1] > 1_700_000_000_000, "or retention would take it away at once"


def test_what_waits_is_not_lost_when_the_process_is_killed_and_a_stop_is_heard(
    retried: tuple[Kafka, str], tmp_path: Path
) -> None:
    broker, topic = retried
    broker.produce(topic, ["bad"])
    code = """
def store(record):
    tell(record.attempt)
    if record.attempt == 1:
        raise ValueError("no")
"""
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}", retry_topics=DELAYS, retries=0)
    with Consumer(tmp_path, spec, code) as member:
        eventually(lambda: broker.end(name(topic, DELAYS[0])) == 1, within=WITHIN)
        member.kill()
        assert member.exit_code() == -9
    with Consumer(tmp_path, spec, code) as member:
        member.wait_ready()
        eventually(lambda: 2 in member.got, within=WITHIN)
        assert member.stop() == 0


def test_what_cannot_be_decoded_does_not_wait(retried: tuple[Kafka, str], tmp_path: Path) -> None:
    broker, topic = retried
    letters = broker.topic()
    broker.produce(topic, [b"{"])
    spec = consumer_spec(broker, topic, dead_letter_topic=letters, retry_topics=DELAYS)
    with Consumer(tmp_path, spec):
        assert broker.read(letters, 1)[0].value() == b"{"
    assert broker.end(name(topic, DELAYS[0])) == 0


def test_another_groups_failures_are_not_ours(retried: tuple[Kafka, str], tmp_path: Path) -> None:
    broker, topic = retried
    broker.produce(topic, ["flaky"])
    specs = [
        consumer_spec(broker, topic, name=each, group_id=f"{each}-{topic}", retry_topics=DELAYS, retries=0)
        for each in ("one", "two")
    ]
    good = "def store(record):\n    tell(record.attempt)\n"
    with Consumer(tmp_path / "one", specs[0], BAD) as first, Consumer(tmp_path / "two", specs[1], good) as second:
        eventually(lambda: [call[1] for call in first.got] == [1, 2, 3], within=WITHIN)
        second.wait_facts(lambda facts: (facts.get("outcomes") or {}).get("of_other_groups") == 2, WITHIN)
        assert second.got == [1]


def test_somebody_elses_record_in_a_retry_topic_is_handled_as_it_is(retried: tuple[Kafka, str], tmp_path: Path) -> None:
    broker, topic = retried
    broker.produce(name(topic, DELAYS[0]), ["stray"])
    spec = consumer_spec(broker, topic, retry_topics=DELAYS)
    with Consumer(tmp_path, spec) as member:
        assert member.wait_got(1) == ["stray"]


def test_while_one_waits_an_hour_the_others_flow_and_nothing_is_wrong(tmp_path: Path) -> None:
    topics = {"orders": 1, name("orders", 3600.0): 1}
    with EmbeddedBroker(tmp_path / "broker", topics) as owner:
        broker = owner.kafka()
        broker.produce("orders", ["flaky"])
        began = time.time()
        spec = consumer_spec(broker, "orders", retry_topics=(3600.0,), retries=0)
        with Consumer(tmp_path, spec, BAD) as member:
            member.wait_got(1)
            eventually(lambda: broker.end(name("orders", 3600.0)) == 1, within=WITHIN)
            found = journey(broker.read(name("orders", 3600.0), 1)[0].headers())
            assert found is not None
            assert began + 3590 <= found.due / 1000 <= time.time() + 3600
            broker.produce("orders", ["good"])
            member.wait_got(2)
            facts = member.wait_facts(lambda facts: facts.get("lag") == 1, WITHIN)
            assert [each for each in facts["partitions"] if each["paused"]] == [], "nothing is wrong"
            assert member.stop() == 0
