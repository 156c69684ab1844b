"""Lanes: several records at once in one process, in order where it counts, and nothing lost or done twice."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.kafka.gaps import decode
from support.eventually import eventually
from support.kafka import WITHIN, Consumer, Kafka, consumer_spec

LANES = """
import threading
at_once, most, lock = 0, 0, threading.Lock()

class Inside:
    def __enter__(self):
        global at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
    def __exit__(self, *_):
        global at_once
        with lock:
            at_once -= 1

def meet(number):
    "Come in; go on when so many are inside at once."
    with Inside():
        end = time.monotonic() + 30
        while most < number and time.monotonic() < end:
            time.sleep(0.005)
"""
SYNC = "def store(record):\n    meet(3)\n    tell([record.key.decode(), record.value])\n"
ASYNC = """
import asyncio
async def store(record):
    with Inside():
        end = time.monotonic() + 30
        while most < 3 and time.monotonic() < end:
            await asyncio.sleep(0.005)
    tell([record.key.decode(), record.value])
"""
MANY = """
def store(records: list[Record]):
    meet(3)
    for record in records:
        tell([record.key.decode(), record.value])
"""


def produce(broker: Kafka, topic: str, keys: int, each: int) -> None:
    for number in range(each):
        for key in range(keys):
            broker.produce(topic, [number], key=f"k{key}".encode(), partition=0)


@pytest.mark.parametrize("code", [SYNC, ASYNC, MANY], ids=["threads", "tasks", "batches"])
def test_keys_go_side_by_side_and_each_in_order(broker: Kafka, tmp_path: Path, code: str) -> None:
    topic = broker.topic()
    produce(broker, topic, 5, 6)
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}", concurrency=3, ordering="key", batch_size=10)
    with Consumer(tmp_path, spec, LANES + code) as member:
        seen: dict[str, list[int]] = defaultdict(list)
        for key, number in member.wait_got(30):
            seen[key].append(number)
        assert seen == {f"k{key}": list(range(6)) for key in range(5)}
        assert member.stop() == 0
    assert broker.committed(f"g-{topic}", topic) == 30


def test_partitions_go_side_by_side_and_each_in_order(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic(4)
    for partition in range(4):
        broker.produce(topic, list(range(20)), partition=partition)
    code = LANES + "def store(record):\n    meet(4)\n    tell([record.partition, record.value])\n"
    with Consumer(tmp_path, consumer_spec(broker, topic, concurrency=4), code) as member:
        seen: dict[int, list[int]] = defaultdict(list)
        for partition, number in member.wait_got(80):
            seen[partition].append(number)
        assert seen == {partition: list(range(20)) for partition in range(4)}


SLOW = """
def store(record):
    if record.value == 0 and not (HERE / "go").exists():
        tell("slow")
        until("go")
    tell(record.value)
"""


def test_one_slow_key_holds_up_no_other_and_the_offset_stays_before_it(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    for number in range(20):
        broker.produce(topic, [number], key=str(number).encode())
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}", concurrency=2, ordering="key")
    with Consumer(tmp_path, spec, SLOW) as member:
        assert sorted(v for v in member.wait_got(20) if v != "slow") == list(range(1, 20))
        eventually(lambda: noted(broker, f"g-{topic}", topic) == (0, [(1, 19)]), within=WITHIN)
        (tmp_path / "go").touch()
        member.wait_got(21)
        assert member.stop() == 0
    assert noted(broker, f"g-{topic}", topic) == (20, [])


def test_who_takes_over_does_not_do_again_what_was_done(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    for number in range(20):
        broker.produce(topic, [number], key=str(number).encode())
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}", concurrency=2, ordering="key")
    with Consumer(tmp_path, spec, SLOW) as member:
        member.wait_got(20)
        eventually(lambda: noted(broker, f"g-{topic}", topic) == (0, [(1, 19)]), within=WITHIN)
        member.kill()
        assert member.exit_code() == -9
    (tmp_path / "go").touch()
    broker.produce(topic, [20], key=b"20")
    with Consumer(tmp_path, spec, SLOW) as member:
        eventually(lambda: 20 in member.got and 0 in member.got, within=WITHIN)
        assert member.stop() == 0
        values = [value for value in member.got if value != "slow"]
        assert sorted(values) == list(range(21))
    assert noted(broker, f"g-{topic}", topic) == (21, [])


def noted(broker: Kafka, group: str, topic: str) -> tuple[int, Any]:
    """The committed offset, and what is done behind it."""
    offset, note = broker.commit_of(group, topic)
    return offset, decode(offset, note)


def test_a_failing_record_is_tried_again_in_its_chain_while_others_flow(broker: Kafka, tmp_path: Path) -> None:
    topic, letters = broker.topic(), broker.topic()
    for value in ("bad", "behind"):
        broker.produce(topic, [value], key=b"one")
    for number in range(10):
        broker.produce(topic, [number], key=str(number).encode())
    code = """
def store(record):
    if record.value == "bad":
        until("go")
        tell(["bad", record.attempt])
        raise ValueError("no")
    tell(record.value)
"""
    spec = consumer_spec(
        broker, topic, group_id=f"g-{topic}", dead_letter_topic=letters, concurrency=2, ordering="key", retries=2
    )
    with Consumer(tmp_path, spec, code) as member:
        eventually(lambda: set(range(10)) <= set(plain(member.got)), within=WITHIN)
        assert "behind" not in member.got
        (tmp_path / "go").touch()
        eventually(lambda: "behind" in member.got, within=WITHIN)
        assert [each for each in member.got if isinstance(each, list)] == [["bad", 1], ["bad", 2], ["bad", 3]]
        assert broker.read(letters, 1)[0].value() == b'"bad"'
        assert member.stop() == 0
    assert broker.committed(f"g-{topic}", topic) == 12


def test_a_partition_is_held_without_doing_again_what_lanes_did_behind_it(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    for number in range(10):
        broker.produce(topic, [number], key=str(number).encode())
    code = """
def store(record):
    if record.value == 3 and not (HERE / "mended").exists():
        until("others")
        raise ValueError("not yet")
    tell(record.value)
    if len((HERE / "got").read_text().splitlines()) == 9:
        (HERE / "others").touch()
"""
    spec = consumer_spec(broker, topic, concurrency=2, ordering="key", retries=0, retry_max=0.2)
    with Consumer(tmp_path, spec, code) as member:
        member.wait_notice("partition_paused", WITHIN)
        (tmp_path / "mended").touch()
        assert sorted(member.wait_got(10)) == list(range(10))
        broker.produce(topic, [10], key=b"10")
        assert sorted(member.wait_got(11)) == list(range(11))


def test_while_a_dependency_is_away_lanes_wait_and_no_attempt_is_lost(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    for number in range(6):
        broker.produce(topic, [number], key=str(number).encode())
    code = """
def store(record):
    if not (HERE / "back").exists():
        raise DependencyAway("no database")
    tell([record.value, record.attempt])
"""
    spec = consumer_spec(broker, topic, concurrency=3, ordering="key", retries=0)
    with Consumer(tmp_path, spec, code) as member:
        member.wait_waiting("no database")
        (tmp_path / "back").touch()
        assert sorted(member.wait_got(6)) == [[number, 1] for number in range(6)]
        member.wait_facts(lambda facts: facts["waiting"] is None, WITHIN)


def test_stop_waits_for_all_lanes_and_commits_what_they_did(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    for number in range(10):
        broker.produce(topic, [number], key=str(number).encode())
    code = "def store(record):\n    tell(['begun', record.value])\n    until('go')\n    tell(record.value)\n"
    spec = consumer_spec(
        broker, topic, group_id=f"g-{topic}", concurrency=3, ordering="key", drain_timeout=60, close_timeout=30
    )
    with Consumer(tmp_path, spec, code) as member:
        member.wait_got(3)
        member.terminate()
        (tmp_path / "go").touch()
        assert member.exit_code(WITHIN) == 0
        assert sorted(plain(member.got)) == [0, 1, 2]
    assert broker.committed(f"g-{topic}", topic) == 3


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_what_ends_a_process_ends_it_from_a_lane_too(broker: Kafka, tmp_path: Path, kind: str) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, ["a"])
    code = f"{kind} store(record):\n    raise MemoryError\n"
    spec = consumer_spec(broker, topic, dead_letter_topic=letters, concurrency=2)
    with Consumer(tmp_path, spec, code) as member:
        assert member.exit_code(WITHIN) == 1
    assert broker.end(letters) == 0


def test_nothing_is_lost_by_lanes_however_often_the_process_is_killed(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic(2)
    for partition in range(2):
        for number in range(150):
            broker.produce(topic, [partition * 150 + number], key=str(number % 10).encode(), partition=partition)
    code = "def store(record):\n    tell(record.value)\n    time.sleep(0.005)\n"
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}", concurrency=4, ordering="key")
    for done in (30, 90, 150):
        with Consumer(tmp_path, spec, code) as member:
            member.wait_got(done)
            member.kill()
            assert member.exit_code() == -9
    with Consumer(tmp_path, spec, code) as member:
        eventually(lambda: set(member.got) == set(range(300)), within=WITHIN)
        assert member.stop() == 0
    assert [broker.committed(f"g-{topic}", topic, partition) for partition in range(2)] == [150, 150]


def test_lanes_that_lose_partitions_finish_what_they_have_in_hand_first(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic(4)
    settings: dict[str, Any] = {"group_id": f"g-{topic}", "concurrency": 4, "drain_timeout": 60}
    code = "def store(record):\n    time.sleep(0.002)\n    tell(record.value)\n"
    with Consumer(tmp_path, consumer_spec(broker, topic, name="events:1", **settings), code) as one:
        one.wait_assigned(4)
        with Consumer(tmp_path, consumer_spec(broker, topic, name="events:2", **settings), code) as two:
            for partition in range(4):
                broker.produce(topic, [[partition, n] for n in range(100)], partition=partition)
            one.wait_assigned(2)
            two.wait_assigned(2)
            one.wait_got(400)
            assert two.stop() == 0
        one.wait_assigned(4)
        for partition in range(4):
            broker.produce(topic, [[partition, 100]], partition=partition)
        eventually(lambda: {(p, 100) for p in range(4)} <= {tuple(each) for each in one.got}, within=WITHIN)
        assert one.stop() == 0
        assert {tuple(each) for each in one.got} == {(p, n) for p in range(4) for n in range(101)}
        if not broker.embedded:  # the mock cluster gives partitions away before they are given up
            assert len(one.got) == 404, "each once"


def test_while_a_lane_is_slow_the_black_box_names_its_record_also_after_a_dead_letter(
    broker: Kafka, tmp_path: Path
) -> None:
    """The budget of a dead letter is short: measured by that, a slow call would be taken for a stuck process."""
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, ["slow"], key=b"a")
    code = "def store(record):\n    tell(record.value)\n    until('go')\n"
    spec = consumer_spec(broker, topic, dead_letter_topic=letters, concurrency=2, ordering="key")
    with Consumer(tmp_path, spec, code) as member:
        member.wait_got(1)
        broker.produce(topic, [b"{"], key=b"b")
        broker.read(letters, 1)
        member.wait_facts(lambda facts: facts.get("records") == 1, WITHIN)
        doing = member.wait_doing("handling lanes", topic)
        assert (doing.partition, doing.offset) == (0, 0)
        assert doing.budget is not None
        assert doing.budget > 60
        (tmp_path / "go").touch()


def test_slow_lanes_keep_the_membership(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    for number in range(6):
        broker.produce(topic, [number], key=str(number).encode())
    code = "def store(record):\n    tell(['begun', time.monotonic()])\n    until('go')\n    tell(record.value)\n"
    short = {"max.poll.interval.ms": 3000, "session.timeout.ms": 3000, "group.protocol": "classic"}
    short = {"max.poll.interval.ms": 3000} if broker.embedded else short
    spec = consumer_spec(broker, topic, concurrency=2, ordering="key", properties=short, batch_size=1)
    with Consumer(tmp_path, spec, code) as member:
        (_, began) = member.wait_got(1)[0]
        eventually(lambda: time.monotonic() - began > 7.0, within=WITHIN, what="longer than the poll interval")
        (tmp_path / "go").touch()
        eventually(lambda: sorted(plain(member.got)) == list(range(6)), within=WITHIN)
        assert "put out of the group" not in member.log
        assert "lost" not in member.log


def plain(got: list[Any]) -> list[Any]:
    return [value for value in got if not isinstance(value, list)]
