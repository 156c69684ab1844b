"""Records as nobody expects them: tombstones, ten thousand headers, sizes that are not true."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor.core.kafka.retry_topics import name
from support.kafka import WITHIN, Consumer, EmbeddedBroker, Kafka, consumer_spec


@pytest.mark.parametrize("format", ["json", "text", "bytes"])
def test_a_tombstone_is_a_record_without_a_value_and_stays_one_as_a_dead_letter(
    broker: Kafka, tmp_path: Path, format: str
) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, [None], key=b"deleted")
    broker.produce(topic, [None], key=b"bad")
    code = """
def store(record):
    tell([record.key.decode(), record.value])
    assert record.key != b"bad"
"""
    spec = consumer_spec(broker, topic, dead_letter_topic=letters, format=format, retries=0)
    with Consumer(tmp_path, spec, code) as member:
        letter = broker.read(letters, 1)[0]
        assert member.got == [["deleted", None], ["bad", None]]
        assert (letter.key(), letter.value()) == (b"bad", None)


def test_a_tombstone_that_a_model_does_not_allow_is_a_dead_letter(broker: Kafka, tmp_path: Path) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, [None, {"id": 1}])
    code = """
import pydantic
class Event(pydantic.BaseModel):
    id: int

def store(record: Record[Event]):
    tell(record.value.id)
"""
    with Consumer(tmp_path, consumer_spec(broker, topic, dead_letter_topic=letters), code) as member:
        assert broker.read(letters, 1)[0].value() is None
        assert member.wait_got(1) == [1]


def test_ten_thousand_headers_are_handled_and_go_with_it_wherever_it_goes(tmp_path: Path) -> None:
    many = [(f"h{n}", str(n).encode()) for n in range(10_000)]
    with EmbeddedBroker(tmp_path / "broker", {"t": 1, "letters": 1, name("t", 0.1): 1}) as owner:
        broker = owner.kafka()
        broker.produce("t", ["a"], headers=many)
        code = (
            "def store(record):\n    tell([len(record.headers), record.headers[-1][0]])\n    raise ValueError('no')\n"
        )
        spec = consumer_spec(broker, "t", dead_letter_topic="letters", retry_topics=(0.1,), retries=0)
        with Consumer(tmp_path, spec, code) as member:
            letter = broker.read("letters", 1)[0]
            assert letter.headers()[:10_000] == many
            assert dict(letter.headers())["x-forkwarden-attempts"] == b"2"
            assert member.wait_got(2) == [[10_000, "h9999"], [10_000, "h9999"]]


@pytest.mark.parametrize(
    "bad",
    [
        b'{"n": ' + b"9" * 5000 + b"}",
        b'"' + b"\\u0000" * 100_000,
        b"\x00\x00\x00\x00\x07\xff\xff\xff\xff\x0f",
        b"[" * 500_000 + b"]" * 500_000,
    ],
    ids=["a number of 5,000 digits", "cut off", "binary", "a million brackets"],
)
def test_what_claims_to_be_huge_costs_a_dead_letter_and_no_process(broker: Kafka, tmp_path: Path, bad: bytes) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, [bad, "good"])
    with Consumer(tmp_path, consumer_spec(broker, topic, dead_letter_topic=letters), "") as member:
        assert broker.read(letters, 1)[0].value() == bad
        assert member.wait_got(1, WITHIN) == ["good"]
