"""Records go to the handler, and their offsets to the broker, in that order."""

from __future__ import annotations

from pathlib import Path

from support.kafka import Consumer, Kafka, consumer_spec


def test_records_are_handled_in_order_and_committed_when_the_process_is_told_to_stop(
    broker: Kafka, tmp_path: Path
) -> None:
    topic = broker.topic()
    broker.produce(topic, list(range(100)))
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}")
    with Consumer(tmp_path, spec) as member:
        member.wait_ready()
        assert member.wait_got(100) == list(range(100))
        assert member.stop() == 0
    assert broker.committed(f"g-{topic}", topic) == 100
