"""Several members share the partitions; each record is handled once more only when a process died."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from supervisor.child.broker.librdkafka import MockCluster
from supervisor.child.runtime import Runtime
from support.eventually import eventually
from support.kafka import WITHIN, Consumer, EmbeddedBroker, Kafka, consumer_spec


def test_two_members_share_the_partitions_and_the_last_takes_all_again(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic(4)
    settings: dict[str, Any] = {"group_id": f"g-{topic}", "processes": 2}
    first = consumer_spec(broker, topic, name="events:1", member=1, **settings)
    second = consumer_spec(broker, topic, name="events:2", member=2, **settings)
    with Consumer(tmp_path, first) as one:
        one.wait_assigned(4)
        with Consumer(tmp_path, second) as two:
            one.wait_assigned(2)
            two.wait_assigned(2)
            for partition in range(4):
                broker.produce(topic, [[partition, n] for n in range(20)], partition=partition)
            one.wait_got(80)
            assert two.stop() == 0
        one.wait_assigned(4)
        for partition in range(4):
            broker.produce(topic, [[partition, 20]], partition=partition)
        got = one.wait_got(84)
        assert sorted(got) == [[p, n] for p in range(4) for n in range(21)], "each once"
        assert one.stop() == 0


def test_a_record_in_hand_when_its_partition_is_given_away_is_finished_and_committed_first(
    broker: Kafka, tmp_path: Path
) -> None:
    topic = broker.topic(2)
    for partition in (0, 1):
        broker.produce(topic, [[partition, 0], [partition, 1]], partition=partition)
    code = "def store(record):\n    tell(record.value)\n    until('go')\n"
    settings: dict[str, Any] = {"group_id": f"g-{topic}", "drain_timeout": 60}
    with Consumer(tmp_path, consumer_spec(broker, topic, name="events:1", **settings), code) as one:
        one.wait_got(1)
        with Consumer(tmp_path, consumer_spec(broker, topic, name="events:2", **settings), code) as two:
            two.wait_ready()
            if not broker.embedded:  # the mock cluster gives partitions away before they are given up
                one.wait_doing("handling")
            (tmp_path / "go").touch()
            one.wait_assigned(1)
            two.wait_assigned(1)
            eventually(lambda: {tuple(v) for v in one.got} == {(0, 0), (0, 1), (1, 0), (1, 1)}, within=WITHIN)
            first = one.got[0]
            assert one.got.count(first) == 1, "what was in hand is not handled by the other one as well"


def test_a_slow_handler_keeps_its_membership(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, ["a", "b", "c"])
    code = "def store(record):\n    tell(record.value)\n    record.value == 'a' and until('go')\n"
    short = {"max.poll.interval.ms": 3000, "session.timeout.ms": 3000, "group.protocol": "classic"}
    short = {"max.poll.interval.ms": 3000} if broker.embedded else short
    with Consumer(tmp_path, consumer_spec(broker, topic, properties=short), code) as member:
        member.wait_got(1)
        member.wait_facts(lambda facts: facts.get("partitions_total") == 1, WITHIN)
        began = member.doing()
        assert began is not None
        eventually(lambda: _age(member) > 2 * 3.0 + 1, within=WITHIN, what="longer than the poll interval")
        (tmp_path / "go").touch()
        assert member.wait_got(3) == ["a", "b", "c"]
        assert "put out of the group" not in member.log
        assert "lost" not in member.log


SLOW_UNTIL_IT_LOSES_SOME = """
from supervisor.child.kafka.callbacks import Callbacks
from supervisor.child.kafka.loop import Loop
arrange, revoked = Loop._arrange, Callbacks.on_revoke

def paused(self):
    self._slow = self._slow or (HERE / "slow").exists()
    arrange(self)
    (HERE / "slow").exists() and self._callbacks.paused and (HERE / "paused").touch()

def on_revoke(self, consumer, partitions):
    (HERE / "slow").unlink(missing_ok=True)
    revoked(self, consumer, partitions)

Loop._arrange, Callbacks.on_revoke = paused, on_revoke
"""


def test_partitions_that_were_paused_when_they_went_flow_when_they_come_back(broker: Kafka, tmp_path: Path) -> None:
    """The client remembers a pause for ever: a member that had been too slow got nothing of them any more."""
    topic = broker.topic(4)
    settings: dict[str, Any] = {"group_id": f"g-{topic}", "processes": 2}
    first = consumer_spec(broker, topic, name="events:1", member=1, **settings)
    second = consumer_spec(broker, topic, name="events:2", member=2, **settings)
    with Consumer(tmp_path, first, SLOW_UNTIL_IT_LOSES_SOME) as one:
        one.wait_assigned(4)
        (tmp_path / "slow").touch()
        eventually((tmp_path / "paused").exists, within=WITHIN)
        with Consumer(tmp_path, second, SLOW_UNTIL_IT_LOSES_SOME) as two:
            two.wait_assigned(2)
            assert not (tmp_path / "slow").exists()
            assert two.stop() == 0
        one.wait_assigned(4)
        for partition in range(4):
            broker.produce(topic, [[partition, n] for n in range(5)], partition=partition)
        one.wait_got(20)


def _age(member: Consumer) -> float:
    doing = member.doing()
    return time.monotonic() - doing.since if doing and doing.phase == "handling" else 0.0


def test_a_member_more_than_partitions_waits_for_nothing(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    settings: dict[str, Any] = {"group_id": f"g-{topic}", "processes": 2}
    with Consumer(tmp_path, consumer_spec(broker, topic, name="events:1", **settings)) as one:
        one.wait_assigned(1)
        with Consumer(tmp_path, consumer_spec(broker, topic, name="events:2", **settings)) as two:
            eventually(lambda: sorted(map(_assigned, (one, two))) == [0, 1], within=WITHIN)
            spare = one if _assigned(one) == 0 else two
            spare.wait_facts(
                lambda facts: facts["waiting"] is None and "no partition is left" in (facts.get("note") or ""), WITHIN
            )


def _assigned(member: Consumer) -> int:
    return int(member.facts.get("partitions_total", -1))


def test_leaving_hands_the_partitions_over_at_once(broker: Kafka, tmp_path: Path) -> None:
    """Not after a session timeout: here that is far longer than this test waits."""
    topic = broker.topic()
    long = {} if broker.embedded else {"group.protocol": "classic", "session.timeout.ms": 300_000}
    settings: dict[str, Any] = {"group_id": f"g-{topic}", "properties": long}
    with Consumer(tmp_path, consumer_spec(broker, topic, name="events:1", **settings)) as one:
        one.wait_assigned(1)
        assert one.stop() == 0
    with Consumer(tmp_path, consumer_spec(broker, topic, name="events:2", **settings)) as two:
        two.wait_assigned(1)


@pytest.mark.kafka
def test_a_classic_member_works_as_well(real_kafka: object, tmp_path: Path) -> None:
    broker = real_kafka.kafka()  # type: ignore[attr-defined]
    topic = broker.topic(2)
    broker.produce(topic, [1, 2, 3], partition=0)
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}", properties={"group.protocol": "classic"})
    with Consumer(tmp_path, spec) as member:
        assert member.wait_got(3) == [1, 2, 3]
        assert member.stop() == 0
    assert broker.committed(f"g-{topic}", topic) == 3


def test_a_broker_without_groups_of_the_new_protocol_gets_a_classic_member(tmp_path: Path) -> None:
    with OldBroker(tmp_path / "broker") as old:
        broker = old.kafka()
        topic = broker.topic()
        broker.produce(topic, [1, 2, 3])
        with Consumer(tmp_path, consumer_spec(broker, topic, group_id="g")) as member:
            assert member.wait_got(3) == [1, 2, 3]
            assert "classic" in member.log
            assert member.stop() == 0
        assert broker.committed("g", topic) == 3


class OldBroker(EmbeddedBroker):
    """The embedded broker, without the request that makes a KIP-848 group."""

    @staticmethod
    def serve(rt: Runtime) -> int:
        inner = MockCluster.__init__

        def without(self: MockCluster, **options: float) -> None:
            inner(self, **options)
            self.without(68)

        MockCluster.__init__ = without  # type: ignore[method-assign]  # in a process of its own
        return EmbeddedBroker.serve(rt)
