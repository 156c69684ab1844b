"""A member that was killed is put out of its group, so that its partitions wait for no timeout."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor.core.wire import page
from supervisor.helper.evict import evict
from support.forked import call
from support.kafka import Consumer, consumer_spec
from support.real_kafka import RealKafka

DEADLINE = 20.0  # seconds; 2 in the product, but this machine may be busy

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_after_an_eviction_the_next_process_gets_the_partition_at_once(
    real_kafka: RealKafka, tmp_path: Path, protocol: str
) -> None:
    """The classic session timeout here is far longer than this test waits."""
    broker = real_kafka.kafka()
    topic = broker.topic()
    properties = {"group.protocol": protocol, "session.timeout.ms": 300_000 if protocol == "classic" else 3000}
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}-{protocol}", properties=properties)
    with Consumer(tmp_path, spec) as dead:
        dead.wait_assigned(1)
        dead.kill()
        dead.exit_code()
        member = page.read_member(dead.page)
    assert call(evict, broker.bootstrap, {}, f"g-{topic}-{protocol}", member, DEADLINE) == "evicted"
    with Consumer(tmp_path, spec) as heir:
        heir.wait_assigned(1)


def test_a_member_that_is_gone_already_is_said(real_kafka: RealKafka, tmp_path: Path) -> None:
    broker = real_kafka.kafka()
    topic = broker.topic()
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}")
    with Consumer(tmp_path, spec) as other:
        other.wait_assigned(1)
        assert call(evict, broker.bootstrap, {}, f"g-{topic}", "nobody", DEADLINE) == "unknown member"
