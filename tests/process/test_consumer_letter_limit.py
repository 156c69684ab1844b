"""A bug in the handler pauses the partition; it does not drain the topic into the dead-letter topic."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.eventually import eventually
from support.kafka import WITHIN, Consumer, Kafka, consumer_spec

BUG = """
def store(record):
    if not (HERE / "mended").exists():
        raise KeyError("a bug")
    tell(record.value)
"""


@pytest.mark.parametrize("lanes", [1, 2])
def test_after_so_many_dead_letters_in_a_row_the_partition_pauses_and_goes_on_when_one_is_handled(
    broker: Kafka, tmp_path: Path, lanes: int
) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, list(range(30)))
    spec = consumer_spec(
        broker,
        topic,
        group_id=f"g-{topic}",
        dead_letter_topic=letters,
        retries=0,
        letter_consecutive=5,
        letter_ratio=1.0,
        concurrency=lanes,
    )
    with Consumer(tmp_path, spec, BUG) as member:
        notice = member.wait_notice("partition_paused", WITHIN)
        assert f"{topic}:0:5" in notice.text
        assert "5 dead letters in a row (dead_letter_limit.consecutive = 5)" in notice.text
        assert "the next would be KeyError: 'a bug'" in notice.text
        assert "mend the handler and restart the consumer, or raise the limit" in notice.text
        facts = member.wait_facts(lambda facts: any(each["paused"] for each in facts.get("partitions") or []), WITHIN)
        assert facts["outcomes"] == {"dead_letters": 5}
        assert "dead_letter_limit" in facts["note"]
        (tmp_path / "mended").touch()
        assert member.wait_got(25) == list(range(5, 30))
        member.wait_facts(lambda facts: facts.get("note") is None and facts.get("records") == 30, WITHIN)
        assert member.stop() == 0
    assert broker.end(letters) == 5
    assert broker.committed(f"g-{topic}", topic) == 30


def test_a_share_of_the_records_is_enough(broker: Kafka, tmp_path: Path) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, [n if n % 2 else b"{" for n in range(40)])
    spec = consumer_spec(broker, topic, dead_letter_topic=letters, letter_ratio=0.3, letter_window=20)
    with Consumer(tmp_path, spec) as member:
        notice = member.wait_notice("partition_paused", WITHIN)
        assert "6 of the last 12 records became dead letters (dead_letter_limit.ratio = 0.3 of 20)" in notice.text
        assert member.got == [1, 3, 5, 7, 9, 11]


def test_a_restart_lets_as_many_go_again(broker: Kafka, tmp_path: Path) -> None:
    """Whoever restarts has looked."""
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, list(range(30)))
    spec = consumer_spec(
        broker, topic, group_id=f"g-{topic}", dead_letter_topic=letters, retries=0, letter_consecutive=3
    )
    for count in (3, 6):
        with Consumer(tmp_path, spec, BUG) as member:
            member.wait_notice("partition_paused", WITHIN)
            assert member.stop() == 0
        eventually(lambda count=count: broker.end(letters) == count, within=WITHIN)
