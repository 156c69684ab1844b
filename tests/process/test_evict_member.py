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


def test_wrong_stale_and_reused_ids_never_put_out_a_live_member(real_kafka: RealKafka, tmp_path: Path) -> None:
    """Stale: of the process before it in the same place, and used again though it was put out already."""
    broker = real_kafka.kafka()
    topic = broker.topic()
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}")
    with Consumer(tmp_path, spec) as dead:
        dead.wait_assigned(1)
        dead.kill()
        dead.exit_code()
        stale = page.read_member(dead.page)
    assert call(evict, broker.bootstrap, {}, f"g-{topic}", stale, DEADLINE) == "evicted"
    with Consumer(tmp_path, spec) as live:
        live.wait_assigned(1)
        mine = page.read_member(live.page)
        assert mine not in ("", stale)
        for wrong in (stale, stale, mine[:-1], mine + "x"):
            said = call(evict, broker.bootstrap, {}, f"g-{topic}", wrong, DEADLINE)
            assert said == "unknown member" or "KafkaTimeoutError" in said, said  # on a busy machine
        assert "no member id" in call(evict, broker.bootstrap, {}, f"g-{topic}", "", DEADLINE)
        broker.produce(topic, [1, 2])
        assert live.wait_got(2) == [1, 2]
        assert page.read_member(live.page) == mine
        assert not any(getattr(message, "code", "") == "partitions_lost" for message in live.read())
