"""A handler says what becomes of a record: again later, a dead letter, passed, no further; and of a batch in part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.eventually import eventually
from support.kafka import WITHIN, Consumer, Kafka, consumer_spec

HEAD = "from supervisor import BatchError, DeadLetter, Retry, Skip, StopPartition\n"
SERIAL = pytest.mark.parametrize("lanes", [1, 2])


@SERIAL
def test_retry_comes_back_as_often_as_the_handler_asks_and_others_flow(
    broker: Kafka, tmp_path: Path, lanes: int
) -> None:
    topic, letters = broker.topic(2), broker.topic()
    broker.produce(topic, ["later", "behind"], partition=0)
    code = (
        HEAD
        + """
def store(record):
    if record.value == "later" and not (HERE / "ready").exists():
        tell(["asked", record.attempt])
        raise Retry("50ms", "not before noon")
    tell(record.value)
"""
    )
    spec = consumer_spec(broker, topic, dead_letter_topic=letters, retries=0, concurrency=lanes)
    with Consumer(tmp_path, spec, code) as member:
        eventually(lambda: ["asked", 3] in member.got, within=WITHIN)
        assert "not before noon" in str(member.facts["note"])
        broker.produce(topic, ["other"], partition=1)
        eventually(lambda: "other" in member.got, within=WITHIN)
        assert "behind" not in member.got
        (tmp_path / "ready").touch()
        eventually(lambda: "behind" in member.got, within=WITHIN)
        facts = member.wait_facts(lambda facts: facts.get("note") is None and facts.get("records") == 3, WITHIN)
        assert facts["outcomes"]["retries"] >= 3
        assert not any(getattr(m, "code", "") == "partition_paused" for m in member.messages), "nobody is alarmed"
    assert broker.end(letters) == 0


@SERIAL
def test_dead_letter_and_skip_end_it_at_once_and_are_counted(broker: Kafka, tmp_path: Path, lanes: int) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, ["skip", "dead", "good"])
    code = (
        HEAD
        + """
def store(record):
    tell([record.value, record.attempt])
    if record.value == "skip":
        raise Skip("a test order")
    if record.value == "dead":
        raise DeadLetter("no such customer")
"""
    )
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}", dead_letter_topic=letters, retries=5, concurrency=lanes)
    with Consumer(tmp_path, spec, code) as member:
        assert member.wait_got(3) == [["skip", 1], ["dead", 1], ["good", 1]]
        headers = dict(broker.read(letters, 1)[0].headers())
        assert headers["kafka_dlt-exception-message"] == b"no such customer"
        assert headers["kafka_dlt-exception-fqcn"] == b"supervisor.core.kafka.verdicts.DeadLetter"
        facts = member.wait_facts(lambda facts: facts.get("records") == 3, WITHIN)
        assert facts["outcomes"] == {"skipped": 1, "dead_letters": 1}
        assert "a test order" in member.log
        assert member.stop() == 0
    assert broker.committed(f"g-{topic}", topic) == 3


@SERIAL
def test_stop_partition_stands_until_the_consumer_is_restarted(broker: Kafka, tmp_path: Path, lanes: int) -> None:
    topic, letters = broker.topic(2), broker.topic()
    broker.produce(topic, ["a", "stop", "b"], partition=0)
    code = (
        HEAD
        + """
def store(record):
    if record.value == "stop" and not (HERE / "mended").exists():
        raise StopPartition("the books do not balance")
    tell(record.value)
"""
    )
    spec = consumer_spec(
        broker, topic, group_id=f"g-{topic}", dead_letter_topic=letters, retry_max=0.05, concurrency=lanes
    )
    with Consumer(tmp_path, spec, code) as member:
        notice = member.wait_notice("partition_paused", WITHIN)
        assert "the books do not balance" in notice.text
        assert "until the consumer is restarted" in notice.text
        (tmp_path / "mended").touch()
        broker.produce(topic, [1, 2, 3], partition=1)
        eventually(lambda: {1, 2, 3} <= set(member.got), within=WITHIN)
        member.wait_facts(lambda facts: paused(facts) == [(0, 1)], WITHIN)
        assert "b" not in member.got
        assert member.stop() == 0
    assert broker.end(letters) == 0
    with Consumer(tmp_path, spec, code) as member:
        eventually(lambda: [v for v in member.got if isinstance(v, str)] == ["a", "stop", "b"], within=WITHIN)


def paused(facts: dict[str, Any]) -> list[tuple[int, int]]:
    return [(each["partition"], each["position"]) for each in facts.get("partitions", []) if each["paused"]]


PART = """
def store_many(records: list[Record]):
    values = [record.value for record in records]
    if values == [0, 1, 2, 3, 4, 5]:
        (HERE / "whole").touch()
    tell(values)
    {say}
"""


@SERIAL
@pytest.mark.parametrize("how", ["raise", "return"])
def test_of_a_batch_only_what_failed_is_tried_again(broker: Kafka, tmp_path: Path, how: str, lanes: int) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, [0, 1, 2, 3, 4, 5])
    say = f"""
    failed = {{i: DeadLetter("four") if v == 4 else ValueError("two") for i, v in enumerate(values) if v in (2, 4)}}
    if failed:
        {how} BatchError(failed=failed)
"""
    spec = batch_spec(broker, topic, letters, lanes)
    with Consumer(tmp_path, spec, HEAD + PART.format(say=say.strip())) as member:
        facts = member.wait_facts(lambda facts: facts.get("records") == 6, WITHIN)
        assert {letter.value() for letter in broker.read(letters, 2)} == {b"2", b"4"}
        assert facts["outcomes"] == {"dead_letters": 2}
        batches = [batch for batch in member.got if batch != [2]]
        assert sorted(value for batch in batches for value in batch) == [0, 1, 2, 3, 4, 5], "each once"
        assert member.got.count([2]) == (1 if [0, 1, 2, 3, 4, 5] in batches else member.got.count([2]))
        assert member.stop() == 0
    assert broker.committed(f"g-{topic}", topic) == 6


@SERIAL
def test_behind_the_index_that_failed_a_batch_goes_on_once_that_has_left(
    broker: Kafka, tmp_path: Path, lanes: int
) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, [0, 1, 2, 3, 4, 5])
    code = (
        HEAD
        + """
def store_many(records: list[Record]):
    for index, record in enumerate(records):
        if record.value == 2:
            tell(["failed", record.attempt])
            raise BatchError(index, ValueError("two"))
        tell(record.value)
"""
    )
    spec = batch_spec(broker, topic, letters, lanes)
    with Consumer(tmp_path, spec, code) as member:
        member.wait_facts(lambda facts: facts.get("records") == 6, WITHIN)
        assert member.got == [0, 1, ["failed", 1], ["failed", 2], 3, 4, 5]
        assert broker.read(letters, 1)[0].value() == b"2"


def batch_spec(broker: Kafka, topic: str, letters: str, lanes: int) -> Any:
    return consumer_spec(
        broker,
        topic,
        handler="mine:store_many",
        group_id=f"g-{topic}",
        dead_letter_topic=letters,
        retries=1,
        concurrency=lanes,
    )


def test_a_batch_error_that_cannot_be_meant_counts_for_the_whole_batch(broker: Kafka, tmp_path: Path) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, ["a"])
    code = HEAD + "def store_many(records: list[Record]):\n    raise BatchError(7, ValueError('x'))\n"
    with Consumer(tmp_path, batch_spec(broker, topic, letters, 1), code):
        headers = dict(broker.read(letters, 1)[0].headers())
        assert b"expected indexes of the batch, from 0 to 0, found 7" in headers["kafka_dlt-exception-message"]


@SERIAL
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_handler_knows_whether_it_is_to_stop_and_what_it_produces_arrives(
    broker: Kafka, tmp_path: Path, kind: str, lanes: int
) -> None:
    topic, target = broker.topic(), broker.topic()
    broker.produce(topic, ["a"])
    code = f"""
{kind} store(record, ctx):
    tell([ctx.stopping, ctx.revoked, ctx.should_stop()])
    ctx.produce({target!r}, {{"seen": record.value}}, key="k", headers={{"h": "1"}})
    ctx.produce({target!r}, b"raw", headers=[("a", b"1"), ("a", None)])
    ctx.produce({target!r}, None, key=b"k")
    ctx.produce({target!r}, "text")
    until("go")
    tell([ctx.stopping, ctx.revoked, ctx.should_stop()])
"""
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}", concurrency=lanes, drain_timeout=60, close_timeout=30)
    with Consumer(tmp_path, spec, code) as member:
        member.wait_got(1)
        found = [(m.value(), m.key(), m.headers()) for m in broker.read(target, 4)]
        assert found == [
            (b'{"seen": "a"}', b"k", [("h", b"1")]),
            (b"raw", None, [("a", b"1"), ("a", None)]),
            (None, b"k", None),
            (b"text", None, None),
        ]
        member.terminate()
        (tmp_path / "go").touch()
        assert member.exit_code(WITHIN) == 0
        assert member.got == [[False, False, False], [True, False, True]]
    assert broker.committed(f"g-{topic}", topic) == 1


@pytest.mark.kafka  # the embedded broker takes any name and any size
def test_what_was_produced_and_did_not_arrive_leaves_the_record_undone(real_kafka: Any, tmp_path: Path) -> None:
    broker = real_kafka.kafka()
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, ["a"])
    code = "def store(record, ctx):\n    tell(record.attempt)\n    ctx.produce('no such topic', 'x')\n"
    with Consumer(tmp_path, consumer_spec(broker, topic, dead_letter_topic=letters, retries=1), code) as member:
        headers = dict(broker.read(letters, 1)[0].headers())
        assert headers["kafka_dlt-exception-fqcn"] == b"supervisor.child.kafka.outgoing.NotProduced"
        assert b'to topic "no such topic"' in headers["kafka_dlt-exception-message"]
        assert member.got == [1, 2]


@SERIAL
def test_records_that_are_not_wanted_are_passed_and_counted(broker: Kafka, tmp_path: Path, lanes: int) -> None:
    topic = broker.topic()
    broker.produce(topic, ["old"], timestamp=1_700_000_000_000)
    broker.produce(topic, ["a", "no", "b", "no"])
    code = "def wanted(record):\n    return record.value != 'no'\n"
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}", filter="mine:wanted", max_age=86400.0, concurrency=lanes)
    with Consumer(tmp_path, spec, code) as member:
        facts = member.wait_facts(lambda facts: facts.get("records") == 5, WITHIN)
        assert member.got == ["a", "b"]
        assert facts["outcomes"] == {"expired": 1, "filtered": 2}
        assert member.stop() == 0
    assert broker.committed(f"g-{topic}", topic) == 5


def test_of_a_batch_the_filter_lets_the_wanted_through(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, [1, 2, 3, 4])
    code = """
def odd(record):
    return record.value % 2

def store_many(records: list[Record]):
    for record in records:
        tell(record.value)
"""
    spec = consumer_spec(broker, topic, handler="mine:store_many", filter="mine:odd")
    with Consumer(tmp_path, spec, code) as member:
        member.wait_facts(lambda facts: facts.get("records") == 4, WITHIN)
        assert member.got == [1, 3]


def test_a_filter_that_fails_is_a_failure_of_the_record(broker: Kafka, tmp_path: Path) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, ["a", {"b": 1}])
    code = "def wanted(record):\n    return record.value['b']\n"
    spec = consumer_spec(broker, topic, filter="mine:wanted", dead_letter_topic=letters, retries=1)
    with Consumer(tmp_path, spec, code) as member:
        letter = broker.read(letters, 1)[0]
        assert (letter.value(), dict(letter.headers())["x-forkwarden-attempts"]) == (b'"a"', b"2")
        assert member.wait_got(1) == [{"b": 1}]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("async def wanted(record): pass", "expected a plain function"),
        ("def wanted(): pass", "expected a function of one record"),
        ("", 'has no "wanted"'),
    ],
)
def test_a_filter_that_cannot_be_called_ends_the_process_for_good(
    embedded_kafka: Kafka, tmp_path: Path, code: str, said: str
) -> None:
    with Consumer(tmp_path, consumer_spec(embedded_kafka, "any", filter="mine:wanted"), code) as member:
        assert member.exit_code(WITHIN) == 78
        assert member.bye is not None
        assert said in member.bye.reason


@SERIAL
def test_no_more_records_than_the_rate_allows(broker: Kafka, tmp_path: Path, lanes: int) -> None:
    topic = broker.topic()
    broker.produce(topic, list(range(100)))
    code = "def store(record):\n    tell(time.monotonic())\n"
    with Consumer(tmp_path, consumer_spec(broker, topic, rate="10/s", concurrency=lanes), code) as member:
        begun = member.wait_got(25)
        for first in range(len(begun)):
            for last in range(first + 1, len(begun)):
                allowed = 10 * (begun[last] - begun[first] + 1.0) + 3
                assert last - first <= allowed
