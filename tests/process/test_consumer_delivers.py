"""Records go to the handler, and their offsets to the broker, in that order."""

from __future__ import annotations

from pathlib import Path

from supervisor.core.wire.messages import Bye
from support.eventually import eventually
from support.kafka import WITHIN, Consumer, Kafka, consumer_spec


def test_records_are_handled_in_order_and_committed_when_the_process_is_told_to_stop(
    broker: Kafka, tmp_path: Path
) -> None:
    topic = broker.topic()
    broker.produce(topic, list(range(100)))
    with Consumer(tmp_path, consumer_spec(broker, topic, group_id=f"g-{topic}")) as member:
        member.wait_ready()
        assert member.wait_got(100) == list(range(100))
        assert member.stop() == 0
    assert broker.committed(f"g-{topic}", topic) == 100


def test_what_was_handled_is_committed_while_it_runs(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, [1, 2, 3])
    with Consumer(tmp_path, consumer_spec(broker, topic, group_id=f"g-{topic}")) as member:
        member.wait_got(3)
        eventually(lambda: broker.committed(f"g-{topic}", topic) == 3, within=WITHIN)


def test_nothing_is_lost_when_the_process_is_killed_in_the_middle(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, list(range(200)))
    slow = "def store(record):\n    tell(record.value)\n    time.sleep(0.002)\n"
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}")
    for done in (20, 70):
        with Consumer(tmp_path, spec, slow) as member:
            member.wait_got(done)
            member.kill()
            assert member.exit_code() == -9
    with Consumer(tmp_path, spec, slow) as member:
        eventually(lambda: set(member.got) == set(range(200)), within=WITHIN)
        assert member.stop() == 0


def test_a_record_in_hand_at_the_kill_comes_again(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, ["a", "b"])
    code = """
def store(record):
    tell(record.value)
    if record.value == "b" and not (HERE / "killed").exists():
        (HERE / "killed").touch()
        os.kill(os.getpid(), 9)
"""
    spec = consumer_spec(broker, topic)
    with Consumer(tmp_path, spec, code) as member:
        assert member.exit_code(WITHIN) == -9
    with Consumer(tmp_path, spec, code) as member:
        eventually(lambda: member.got.count("b") == 2, within=WITHIN)


def test_the_black_box_names_the_record_in_hand(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, ["a", "b"])
    code = "def store(record):\n    tell(record.value)\n    record.value == 'b' and until('go')\n"
    with Consumer(tmp_path, consumer_spec(broker, topic), code) as member:
        member.wait_got(2)
        doing = member.wait_doing("handling", topic)
        assert (doing.partition, doing.offset) == (0, 1)
        assert doing.budget is not None
        (tmp_path / "go").touch()
        member.wait_doing("polling")


def test_stop_waits_for_the_record_in_hand_and_begins_no_other(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, ["a", "b", "c"])
    code = "def store(record):\n    tell(record.value)\n    until('go')\n"
    with Consumer(tmp_path, consumer_spec(broker, topic, group_id=f"g-{topic}", drain_timeout=60), code) as member:
        member.wait_got(1)
        member.terminate()
        (tmp_path / "go").touch()
        assert member.exit_code(WITHIN) == 0
        assert member.got == ["a"]
    assert broker.committed(f"g-{topic}", topic) == 1


def test_a_record_that_takes_longer_than_the_drain_timeout_is_left_and_comes_again(
    broker: Kafka, tmp_path: Path
) -> None:
    topic = broker.topic()
    broker.produce(topic, ["a", "b"])
    code = "def store(record):\n    tell(record.value)\n    record.value == 'b' and until('never')\n"
    with Consumer(tmp_path, consumer_spec(broker, topic, group_id=f"g-{topic}", drain_timeout=0.3), code) as member:
        member.wait_got(2)
        assert member.stop() == 75
        assert member.bye is not None
        assert "come again" in member.bye.reason
    assert broker.committed(f"g-{topic}", topic) == 1


def test_a_planned_change_cuts_no_record_short(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, ["a", "b"])
    code = "def store(record):\n    tell(record.value)\n    until('go')\n    tell('end')\n"
    with Consumer(tmp_path, consumer_spec(broker, topic, drain_timeout=0.01), code) as member:
        member.wait_got(1)
        member.order("drain")
        member.wait_facts(lambda facts: facts.get("partitions_total") == 1)
        (tmp_path / "go").touch()
        assert member.exit_code(WITHIN) == 0
        assert member.got == ["a", "end"]


def test_a_batch_handler_gets_lists(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic(4)
    broker.produce(topic, list(range(1000)))
    code = "def store_many(records: list[Record]):\n    tell([record.value for record in records])\n"
    spec = consumer_spec(broker, topic, handler="mine:store_many", batch_size=100)
    with Consumer(tmp_path, spec, code) as member:
        eventually(lambda: sorted(v for batch in member.got for v in batch) == list(range(1000)), within=WITHIN)
        assert max(len(batch) for batch in member.got) > 1
        assert all(len(batch) <= 100 for batch in member.got)


def test_an_async_handler_gets_its_resource_open_and_it_is_closed_afterwards(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, ["a", "b"])
    code = """
async def db():
    tell("open")
    yield "session"
    tell("closed")

async def store(record: Record, db, ctx):
    tell([record.value, db, ctx.attempt, ctx.name])
"""
    spec = consumer_spec(broker, topic, resources={"db": "mine:db"})
    with Consumer(tmp_path, spec, code) as member:
        got = member.wait_got(6)
        assert got == ["open", ["a", "session", 1, "events"], "closed", "open", ["b", "session", 1, "events"], "closed"]
        assert member.stop() == 0


def test_a_handler_reads_everything_of_a_record(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, [b"raw \xff"], key=b"k", headers=[("a", b"1"), ("a", None)], timestamp=1_700_000_000_123)
    code = """
def store(record):
    tell([record.value.hex(), record.key.decode(), [[n, v and v.decode()] for n, v in record.headers],
          record.topic, record.partition, record.offset, record.timestamp.isoformat(), record.attempt, record.id])
"""
    with Consumer(tmp_path, consumer_spec(broker, topic, format="bytes"), code) as member:
        expected = [b"raw \xff".hex(), "k", [["a", "1"], ["a", None]], topic, 0, 0]
        assert member.wait_got(1) == [[*expected, "2023-11-14T22:13:20.123000+00:00", 1, f"{topic}:0:0"]]


def test_the_lag_counts_what_is_not_handled(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, list(range(10)))
    code = "def store(record):\n    record.value == 4 and until('go')\n"
    with Consumer(tmp_path, consumer_spec(broker, topic), code) as member:
        facts = member.wait_facts(lambda facts: facts.get("lag") == 6, WITHIN)
        assert facts["partitions"] == [{"topic": topic, "partition": 0, "position": 4, "lag": 6, "paused": False}]
        (tmp_path / "go").touch()
        facts = member.wait_facts(lambda facts: facts.get("lag") == 0 and facts.get("records") == 10, WITHIN)
        assert facts["member"]
        assert facts["waiting"] is None


def test_after_max_runs_records_the_process_asks_to_be_replaced(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    broker.produce(topic, list(range(10)))
    with Consumer(tmp_path, consumer_spec(broker, topic, group_id=f"g-{topic}", max_runs=4)) as member:
        assert member.exit_code(WITHIN) == 0
        assert member.got == [0, 1, 2, 3]
        assert member.bye == Bye(0, "recycle: max_runs records handled")
    assert broker.committed(f"g-{topic}", topic) == 4


def test_what_ends_a_process_is_no_dead_letter(broker: Kafka, tmp_path: Path) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, ["a", "b"])
    code = "def store(record):\n    if record.value == 'b':\n        raise MemoryError\n    tell(record.value)\n"
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}", dead_letter_topic=letters)
    with Consumer(tmp_path, spec, code) as member:
        assert member.exit_code(WITHIN) == 1
    assert broker.committed(f"g-{topic}", topic) == 1
    assert broker.end(letters) == 0


def test_a_handler_that_takes_no_record_ends_the_process_for_good(embedded_kafka: Kafka, tmp_path: Path) -> None:
    spec = consumer_spec(embedded_kafka, "any", handler="mine:nothing")
    with Consumer(tmp_path, spec, "def nothing(db): pass\n") as member:
        assert member.exit_code(WITHIN) == 78
        assert member.bye is not None
        assert 'expected a parameter "record"' in member.bye.reason
