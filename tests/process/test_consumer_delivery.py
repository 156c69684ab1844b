"""kill -9 in the middle of the work, again and again: what is lost and what comes twice, for each kind of delivery."""

from __future__ import annotations

import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.child.kafka.ledger_sql import TABLE
from supervisor.core.spec import ChildSpec
from support import deliveries
from support.deliveries import Done, Members, beside, judge
from support.eventually import eventually
from support.kafka import WITHIN, Consumer, EmbeddedBroker, Kafka, consumer_spec
from support.real_kafka import RealKafka

RECORDS = 1200
KILLS = 4
PAGE = ".supervisor/progress/events.page"
Prepare = Callable[..., tuple[Kafka, str, list[ChildSpec]]]


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.kafka)])
def prepared(request: pytest.FixtureRequest, tmp_path: Path) -> Prepare:
    """A broker, a topic of it, and as many members as are asked for."""

    def prepare(partitions: int, members: int = 1, **settings: Any) -> tuple[Kafka, str, list[ChildSpec]]:
        server = request.getfixturevalue("embedded" if request.param == "embedded" else "real_kafka")
        kafka: Kafka = server.kafka()
        topic = kafka.topic(partitions)
        common = {"group_id": f"g-{topic}", "processes": members, **settings}
        found = []
        for member in range(1, members + 1):
            name = "events" if members == 1 else f"events:{member}"
            one = consumer_spec(kafka, topic, name=name, member=member, **common)
            found.append(beside(server, tmp_path, one) if isinstance(server, EmbeddedBroker) else one)
        return kafka, topic, found

    return prepare


def killed_often(members: Members, progress: Callable[[], int], all_: int) -> None:
    """Kill a member, by turns, each time that some more records are done, at no moment in particular."""
    draw = random.Random(7)
    for number in range(KILLS):
        seen = progress()
        some = draw.randint(30, 120)
        eventually(lambda seen=seen, some=some: progress() >= min(seen + some, all_), within=WITHIN, every=0.001)
        members.kill(number % len(members.alive))
    eventually(lambda: progress() >= all_, within=2 * WITHIN, every=0.02, what="all records are done")


def distinct(folder: Path) -> int:
    return len({(one.partition, one.offset) for one in deliveries.done(folder)})


@pytest.mark.parametrize("members", [1, 2])
def test_after_kill_9_nothing_is_lost_and_no_more_than_the_record_in_hand_comes_twice(
    prepared: Prepare, tmp_path: Path, members: int
) -> None:
    kafka, topic, specs = prepared(2, members, handler="mine:one")
    ends = deliveries.fill(kafka, topic, RECORDS, 2)
    with Members(tmp_path, specs) as running:
        killed_often(running, lambda: distinct(tmp_path), RECORDS)
    found = judge(deliveries.done(tmp_path), ends)
    assert (found.lost, found.skipped) == ((), ())
    assert found.duplicates <= KILLS


def test_after_kill_9_no_more_than_the_batch_in_hand_comes_twice(prepared: Prepare, tmp_path: Path) -> None:
    kafka, topic, specs = prepared(1, handler="mine:many", batch_size=20)
    ends = deliveries.fill(kafka, topic, RECORDS, 1)
    with Members(tmp_path, specs) as running:
        killed_often(running, lambda: distinct(tmp_path), RECORDS)
    found = judge(deliveries.done(tmp_path), ends)
    assert (found.lost, found.skipped) == ((), ())
    assert found.duplicates <= KILLS * 20


def test_without_the_page_many_come_twice_and_the_judge_sees_them(prepared: Prepare, tmp_path: Path) -> None:
    """The proof that the tests above can fail."""
    kafka, topic, specs = prepared(1, handler="mine:one", properties={"auto.commit.interval.ms": 600_000})
    ends = deliveries.fill(kafka, topic, 300, 1)
    with Members(tmp_path, specs) as running:
        eventually(lambda: distinct(tmp_path) >= 100, within=WITHIN, every=0.001)
        (tmp_path / PAGE).unlink()
        running.kill(0)
        eventually(lambda: distinct(tmp_path) >= 300, within=WITHIN)
    found = judge(deliveries.done(tmp_path), ends)
    assert found.lost == ()
    assert found.duplicates >= 100


def test_a_frozen_member_that_wakes_up_when_others_have_its_partition_makes_nothing_lost(
    prepared: Prepare, tmp_path: Path
) -> None:
    kafka, topic, specs = prepared(2, 2, handler="mine:one")
    ends = deliveries.fill(kafka, topic, RECORDS, 2)
    with Members(tmp_path, specs) as running:
        frozen, other = running.alive
        eventually(lambda: distinct(tmp_path) >= 50 and _both_work(tmp_path, running), within=WITHIN, every=0.001)
        frozen.signal(signal.SIGSTOP)
        eventually(lambda: distinct(tmp_path) >= RECORDS, within=2 * WITHIN, what="the other one did all")
        more = {p: n + 100 for p, n in ends.items()}
        frozen.signal(signal.SIGCONT)
        for partition in ends:
            kafka.produce(topic, list(range(100)), partition=partition)
        eventually(lambda: distinct(tmp_path) >= sum(more.values()), within=WITHIN)
        running.kill(0)
        running.kill(1)
        for partition in ends:
            kafka.produce(topic, list(range(50)), partition=partition)
        last = {p: n + 50 for p, n in more.items()}
        eventually(lambda: distinct(tmp_path) >= sum(last.values()), within=2 * WITHIN)
        assert other
    found = judge(deliveries.done(tmp_path), last)
    assert (found.lost, found.skipped) == ((), ())


def _both_work(folder: Path, running: Members) -> bool:
    return {one.pid for one in deliveries.done(folder)} >= {member.pid for member in running.alive} or (
        distinct(folder) >= RECORDS // 2
    )


@pytest.mark.parametrize("how", ["garbage", "future", "shorter", "none"])
def test_a_page_that_cannot_be_read_loses_nothing(prepared: Prepare, tmp_path: Path, how: str) -> None:
    kafka, topic, specs = prepared(1, handler="mine:one")
    ends = deliveries.fill(kafka, topic, 300, 1)
    with Members(tmp_path, specs) as running:
        eventually(lambda: distinct(tmp_path) >= 60, within=WITHIN, every=0.001)
        running.end(0)
        _spoil(tmp_path / PAGE, how)
        said = running.begin(0).said or ""
        assert ("put aside" in said) is (how != "none")
        eventually(lambda: distinct(tmp_path) >= 300, within=WITHIN)
    found = judge(deliveries.done(tmp_path), ends)
    assert (found.lost, found.skipped) == ((), ())


def _spoil(path: Path, how: str) -> None:
    raw = bytearray(path.read_bytes())
    if how == "garbage":
        raw[:64] = b"\xa5" * 64
    elif how == "future":
        raw[8] += 1
    elif how == "shorter":
        del raw[20:]
    path.unlink()
    if how != "none":
        path.write_bytes(raw)


@pytest.mark.kafka
def test_offsets_that_were_set_back_by_hand_are_read_again_from_there(real_kafka: RealKafka, tmp_path: Path) -> None:
    kafka = real_kafka.kafka()
    topic = kafka.topic(1)
    one = consumer_spec(kafka, topic, handler="mine:one", group_id=f"g-{topic}")
    deliveries.fill(kafka, topic, 200, 1)
    with Members(tmp_path, [one]) as running:
        eventually(lambda: distinct(tmp_path) >= 200, within=WITHIN)
        assert running.alive[0].stop() == 0
        assert kafka.committed(f"g-{topic}", topic) == 200
        _commit(real_kafka, f"g-{topic}", topic, 40)
        running.kill(0)
        eventually(lambda: len(deliveries.done(tmp_path)) >= 360, within=WITHIN)
        running.kill(0)
        kafka.produce(topic, [1])
        eventually(lambda: distinct(tmp_path) >= 201, within=WITHIN)
    again = Counter(one.offset for one in deliveries.done(tmp_path))
    assert [again[offset] for offset in (0, 39)] == [1, 1]
    assert all(again[offset] >= 2 for offset in range(40, 200))


def _commit(server: RealKafka, group: str, topic: str, offset: int) -> None:
    from confluent_kafka import Consumer, TopicPartition

    reader = Consumer({"bootstrap.servers": server.bootstrap, "group.id": group, "log_level": 2})
    reader.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    reader.close()


@pytest.mark.kafka
def test_a_topic_that_was_made_anew_is_read_from_its_beginning(real_kafka: RealKafka, tmp_path: Path) -> None:
    from confluent_kafka.admin import AdminClient

    kafka = real_kafka.kafka()
    topic = kafka.topic(1)
    never = {"auto.commit.interval.ms": 600_000}
    one = consumer_spec(kafka, topic, handler="mine:one", group_id=f"g-{topic}", properties=never)
    deliveries.fill(kafka, topic, 100, 1)
    with Members(tmp_path, [one]) as running:
        eventually(lambda: distinct(tmp_path) >= 100, within=WITHIN)
        running.end(0)
        admin = AdminClient(real_kafka.client)
        admin.delete_topics([topic])[topic].result(30)
        real_kafka.create_topic(topic, 1)
        deliveries.fill(kafka, topic, 150, 1)
        running.begin(0)
        eventually(lambda: len(deliveries.done(tmp_path)) >= 250, within=WITHIN, what="all of the new topic as well")


def test_at_most_once_nothing_comes_twice_and_no_more_than_the_batch_in_hand_is_lost(
    prepared: Prepare, tmp_path: Path
) -> None:
    kafka, topic, specs = prepared(1, handler="mine:one", delivery="at_most_once", batch_size=20)
    ends = deliveries.fill(kafka, topic, RECORDS, 1)
    with Members(tmp_path, specs) as running:
        for number in range(KILLS):
            eventually(lambda n=number: distinct(tmp_path) >= 100 * (n + 1), within=WITHIN, every=0.001)
            running.kill(0)
        eventually(lambda: Done(running.alive[0].pid, 0, RECORDS - 1) in deliveries.done(tmp_path), within=WITHIN)
        assert running.alive[0].stop() == 0
    found = judge(deliveries.done(tmp_path), ends)
    assert found.duplicates == 0
    assert 0 <= len(found.lost) <= KILLS * 20


def test_at_most_once_a_clean_stop_loses_nothing(prepared: Prepare, tmp_path: Path) -> None:
    kafka, topic, specs = prepared(1, handler="mine:one", delivery="at_most_once", batch_size=100)
    ends = deliveries.fill(kafka, topic, 600, 1)
    with Members(tmp_path, specs) as running:
        for number in range(3):
            eventually(lambda n=number: distinct(tmp_path) >= 100 * (n + 1), within=WITHIN, every=0.001)
            assert running.alive[0].stop() == 0
            running.kill(0)
        eventually(lambda: distinct(tmp_path) >= 600, within=WITHIN)
    found = judge(deliveries.done(tmp_path), ends)
    assert (found.lost, found.duplicates) == ((), 0)


LEDGER = """
URL = {url!r}

def raw():
    "A connection of sqlite3 itself."
    connection = sqlite3.connect(HERE / "kept.db", timeout=30)
    try:
        yield connection
    finally:
        connection.close()

engine = None

def session():
    global engine
    from sqlalchemy import create_engine, text
    from sqlalchemy.orm import Session
    more = {{}} if URL else {{"timeout": 30}}
    engine = engine or create_engine(URL or f"sqlite:///{{HERE}}/kept.db", connect_args=more)
    with Session(engine) as found:
        yield found

def keep(record, db, ctx):
    with ctx.ledger(db):
        insert(db, record)

def keep_many(records: list[Record], db, ctx):
    with ctx.ledger(db):
        for record in records:
            insert(db, record)

def insert(db, record):
    values = {{"pid": os.getpid(), "part": record.partition, "at": record.offset}}
    statement = "INSERT INTO kept (pid, part, at) VALUES (:pid, :part, :at)"
    if isinstance(db, sqlite3.Connection):
        db.execute(statement, values)
    else:
        from sqlalchemy import text
        db.execute(text(statement), values)

def keep_slowly(record, db, ctx):
    time.sleep(0.005)
    keep(record, db, ctx)
"""


class Kept:
    """The user's own table, without any key that could hide a second row."""

    def __init__(self, folder: Path, url: str = "") -> None:
        from sqlalchemy import create_engine, text

        self._text = text
        self.engine = create_engine(url or f"sqlite:///{folder}/kept.db")
        with self.engine.begin() as connection:
            if not url:
                connection.execute(text("PRAGMA journal_mode=WAL"))
            number = "INTEGER PRIMARY KEY" if not url else "SERIAL PRIMARY KEY"
            connection.execute(text(f"CREATE TABLE kept (number {number}, pid INTEGER, part INTEGER, at INTEGER)"))

    def rows(self) -> list[Done]:
        with self.engine.connect() as connection:
            found = connection.execute(self._text("SELECT pid, part, at FROM kept ORDER BY number")).all()
        return [Done(*row) for row in found]

    def distinct(self) -> int:
        return len({(one.partition, one.offset) for one in self.rows()})

    def execute(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(self._text(statement))


@pytest.fixture
def kept(tmp_path: Path) -> Any:
    found = Kept(tmp_path)
    yield found
    found.engine.dispose()


@pytest.mark.parametrize("db", ["session", "raw"])
@pytest.mark.parametrize("handler", ["keep", "keep_many"])
def test_with_the_ledger_nothing_is_lost_and_nothing_is_kept_twice(
    prepared: Prepare, tmp_path: Path, kept: Kept, db: str, handler: str
) -> None:
    kafka, topic, specs = _ledgered(prepared, 2, 2, db=db, handler=f"mine:{handler}")
    ends = deliveries.fill(kafka, topic, RECORDS, 2)
    with Members(tmp_path, specs, LEDGER.format(url="")) as running:
        killed_often(running, kept.distinct, RECORDS)
    found = judge(kept.rows(), ends)
    assert (found.lost, found.duplicates, found.skipped, found.backwards) == ((), 0, (), ())


@pytest.mark.postgres
def test_with_the_ledger_in_postgresql_nothing_is_lost_and_nothing_is_kept_twice(
    prepared: Prepare, tmp_path: Path, postgres_url: str
) -> None:
    kept = Kept(tmp_path, postgres_url)
    kafka, topic, specs = _ledgered(prepared, 2, 2, db="session", handler="mine:keep_many")
    ends = deliveries.fill(kafka, topic, RECORDS, 2)
    try:
        with Members(tmp_path, specs, LEDGER.format(url=postgres_url)) as running:
            killed_often(running, kept.distinct, RECORDS)
        found = judge(kept.rows(), ends)
    finally:
        kept.engine.dispose()
    assert (found.lost, found.duplicates, found.skipped, found.backwards) == ((), 0, (), ())


def test_a_frozen_member_that_wakes_up_keeps_nothing_that_another_has_kept(
    prepared: Prepare, tmp_path: Path, kept: Kept
) -> None:
    kafka, topic, specs = _ledgered(prepared, 1, 2, db="session", handler="mine:keep_slowly", batch_size=100)
    ends = deliveries.fill(kafka, topic, 600, 1)
    with Members(tmp_path, specs, LEDGER.format(url="")) as running:
        eventually(lambda: kept.distinct() >= 50, within=WITHIN, every=0.005)
        owner = next(member for member in running.alive if member.pid == kept.rows()[-1].pid)
        _freeze_between_statements(owner, tmp_path)
        eventually(lambda: kept.distinct() >= 600, within=2 * WITHIN, what="the other one kept all")
        owner.signal(signal.SIGCONT)
        kafka.produce(topic, [1] * 50, partition=0)
        eventually(lambda: kept.distinct() >= 650, within=WITHIN)
        owner.wait_facts(lambda facts: facts.get("partitions_total") == 0 or facts.get("note"), WITHIN)
    found = judge(kept.rows(), {0: ends[0] + 50})
    assert (found.lost, found.duplicates, found.skipped) == ((), 0, ())


def _freeze_between_statements(member: Consumer, folder: Path) -> None:
    """Not while it holds SQLite's one write lock: that would stop everybody."""
    while True:
        member.signal(signal.SIGSTOP)
        try:
            with sqlite3.connect(folder / "kept.db", timeout=0.05, isolation_level=None) as look:
                look.execute("BEGIN IMMEDIATE")
                look.execute("ROLLBACK")
            return
        except sqlite3.OperationalError:
            member.signal(signal.SIGCONT)
        finally:
            look.close()


def test_with_the_ledger_offsets_that_kafka_has_forgotten_are_read_from_the_ledger(
    prepared: Prepare, tmp_path: Path, kept: Kept
) -> None:
    never = {"auto.commit.interval.ms": 600_000}
    kafka, topic, specs = _ledgered(
        prepared, 1, 1, db="session", handler="mine:keep", properties=never, auto_offset_reset="latest"
    )
    with Members(tmp_path, specs, LEDGER.format(url="")) as running:
        running.alive[0].wait_assigned(1)
        eventually(lambda: _and_produced(kafka, topic, kept), within=WITHIN, every=0.2)
        before = kept.distinct()
        running.end(0)
        kafka.produce(topic, list(range(100)), partition=0)
        running.begin(0)
        eventually(lambda: kept.distinct() >= before + 100, within=WITHIN, what="what came while it was away")
    assert len(kept.rows()) == kept.distinct()


def _and_produced(kafka: Kafka, topic: str, kept: Kept) -> bool:
    """The end of a partition is found out a moment after it is assigned: records until one is kept."""
    kafka.produce(topic, [1], partition=0)
    return kept.distinct() > 0


def test_a_handler_that_returns_without_the_ledger_is_told_so(prepared: Prepare, tmp_path: Path, kept: Kept) -> None:
    kafka, topic, specs = _ledgered(prepared, 1, 1, db="session", handler="mine:forgot", retries=0)
    code = "def forgot(record, db, ctx):\n    pass\n"
    kafka.produce(topic, [1])
    with Members(tmp_path, specs, LEDGER.format(url="") + code) as running:
        text = running.alive[0].wait_notice("partition_paused").text
        assert "returned without `with ctx.ledger(session):`" in text


def test_a_block_that_fails_keeps_neither_the_record_nor_its_offset(
    prepared: Prepare, tmp_path: Path, kept: Kept
) -> None:
    kafka, topic, specs = _ledgered(prepared, 1, 1, db="session", handler="mine:fails_once")
    code = """
failed = False
def fails_once(record, db, ctx):
    global failed
    with ctx.ledger(db):
        insert(db, record)
        if record.offset == 5 and not failed:
            failed = True
            raise ValueError("no")
"""
    ends = deliveries.fill(kafka, topic, 10, 1)
    with Members(tmp_path, specs, LEDGER.format(url="") + code):
        eventually(lambda: kept.distinct() >= 10, within=WITHIN)
    found = judge(kept.rows(), ends)
    assert (found.lost, found.duplicates, found.skipped) == ((), 0, ())


def test_a_ledger_that_was_set_back_by_hand_stops_its_partition(prepared: Prepare, tmp_path: Path, kept: Kept) -> None:
    never = {"auto.commit.interval.ms": 600_000}
    kafka, topic, specs = _ledgered(prepared, 1, 1, db="session", handler="mine:keep", properties=never)
    deliveries.fill(kafka, topic, 10, 1)
    with Members(tmp_path, specs, LEDGER.format(url="")) as running:
        eventually(lambda: kept.distinct() >= 10, within=WITHIN)
        kept.execute(f"UPDATE {TABLE} SET next_offset = 4")
        kafka.produce(topic, [1])
        assert "restart the consumer" in running.alive[0].wait_notice("partition_paused").text
        running.kill(0)
        eventually(lambda: len(kept.rows()) >= 17, within=WITHIN, what="it is read again from there")
    assert Counter(one.offset for one in kept.rows())[3] == 1


def test_a_database_that_is_away_at_the_start_is_no_fault_of_the_consumer(prepared: Prepare, tmp_path: Path) -> None:
    _, _, specs = _ledgered(prepared, 1, 1, db="session", handler="mine:keep")
    with Members(tmp_path, specs, LEDGER.format(url="sqlite:////nowhere/at/all.db")) as running:
        assert running.alive[0].exit_code(WITHIN) == 75
        assert "the ledger cannot be read" in running.alive[0].log


def _ledgered(prepared: Prepare, partitions: int, members: int, *, db: str, **more: Any) -> Any:
    settings = {"delivery": "ledger", "ledger": "db", "resources": {"db": f"mine:{db}"}}
    return prepared(partitions, members, **settings, **more)


TWICE = """
def forward(records: list[Record], ctx):
    for record in records:
        ctx.produce(TO, {"from": [record.partition, record.offset]})
        time.sleep(0.0005)
"""


@pytest.mark.kafka
def test_in_transactions_each_record_is_forwarded_once(real_kafka: RealKafka, tmp_path: Path) -> None:
    kafka = real_kafka.kafka()
    topic, to = kafka.topic(2), kafka.topic(1)
    common = {"group_id": f"g-{topic}", "processes": 2, "delivery": "transactional", "batch_size": 25}
    specs = [
        consumer_spec(kafka, topic, name=f"events:{n}", member=n, handler="mine:forward", **common) for n in (1, 2)
    ]
    ends = deliveries.fill(kafka, topic, RECORDS, 2)
    with Members(tmp_path, specs, f"TO = {to!r}\n{TWICE}") as running:
        killed_often(running, lambda: len(set(_forwarded(real_kafka, to))), RECORDS)
        assert [member.stop() for member in running.alive] == [0, 0]
    found = judge((Done(0, *place) for place in _forwarded(real_kafka, to)), ends)
    assert (found.lost, found.duplicates) == ((), 0)


SLOWLY_FORWARD = """
def forward(record, ctx):
    ctx.produce(TO, {"from": [record.partition, record.offset]})
    tell([os.getpid(), record.partition, record.offset])
    if (HERE / "hold").exists():
        (HERE / f"held-{os.getpid()}").touch()
        until("go")
"""


@pytest.mark.kafka
def test_in_transactions_a_frozen_member_that_wakes_up_forwards_nothing_that_another_has_forwarded(
    real_kafka: RealKafka, tmp_path: Path
) -> None:
    kafka = real_kafka.kafka()
    topic, to = kafka.topic(2), kafka.topic(1)
    common = {"group_id": f"g-{topic}", "processes": 2, "delivery": "transactional"}
    specs = [
        consumer_spec(kafka, topic, name=f"events:{n}", member=n, handler="mine:forward", **common) for n in (1, 2)
    ]
    ends = deliveries.fill(kafka, topic, 300, 2)
    with Members(tmp_path, specs, f"TO = {to!r}\n{SLOWLY_FORWARD}") as running:
        frozen, other = running.alive
        eventually(lambda: {frozen.pid, other.pid} <= {pid for pid, _, _ in other.got}, within=WITHIN)
        (tmp_path / "hold").touch()
        eventually((tmp_path / f"held-{frozen.pid}").exists, within=WITHIN)
        frozen.signal(signal.SIGSTOP)  # in the middle of a record, which another member then gets
        (tmp_path / "go").touch()
        # its transaction stays open, so that nobody sees what the other one commits behind it
        eventually(lambda: len({(p, o) for _, p, o in other.got}) >= 300, within=2 * WITHIN, every=0.1)
        frozen.signal(signal.SIGCONT)
        assert "its transaction is aborted" in frozen.wait_notice("fenced", WITHIN).text
        for partition in ends:
            kafka.produce(topic, [1] * 25, partition=partition)
        eventually(lambda: len(set(_forwarded(real_kafka, to))) >= 350, within=2 * WITHIN, every=0.5)
        assert [member.stop() for member in running.alive] == [0, 0]
        assert not frozen.facts.get("waiting"), "it waits for nothing that will not come"
    found = judge((Done(0, *place) for place in _forwarded(real_kafka, to)), {p: n + 25 for p, n in ends.items()})
    assert (found.lost, found.duplicates) == ((), 0)


@pytest.mark.kafka
def test_in_transactions_nothing_of_a_handler_that_fails_is_seen(real_kafka: RealKafka, tmp_path: Path) -> None:
    kafka = real_kafka.kafka()
    topic, to = kafka.topic(1), kafka.topic(1)
    one = consumer_spec(kafka, topic, handler="mine:fails_once", delivery="transactional")
    code = """
failed = False
def fails_once(record, ctx):
    global failed
    ctx.produce(TO, {"from": [record.partition, record.offset]})
    if record.offset == 5 and not failed:
        failed = True
        raise ValueError("no")
"""
    ends = deliveries.fill(kafka, topic, 10, 1)
    with Members(tmp_path, [one], f"TO = {to!r}\n{code}") as running:
        eventually(lambda: len(_forwarded(real_kafka, to)) >= 10, within=WITHIN)
        assert running.alive[0].stop() == 0
    found = judge((Done(0, *place) for place in _forwarded(real_kafka, to)), ends)
    assert (found.lost, found.duplicates) == ((), 0)
    assert kafka.committed(one.settings.group_id, topic) == 10  # type: ignore[union-attr]


def _forwarded(server: RealKafka, topic: str) -> list[tuple[int, int]]:
    """Return what a reader of committed records sees, to the end."""
    import json

    from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

    reader = Consumer(
        {"bootstrap.servers": server.bootstrap, "group.id": "judge", "isolation.level": "read_committed"}
        | {"enable.partition.eof": True, "enable.auto.commit": False, "log_level": 2}
    )
    reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    found: list[tuple[int, int]] = []
    while (message := reader.poll(WITHIN)) is not None:
        error = message.error()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF, error
            break
        partition, offset = json.loads(message.value() or b"")["from"]
        found.append((partition, offset))
    reader.close()
    return found


def test_a_resource_that_fails_to_close_leaves_its_record_open(prepared: Prepare, tmp_path: Path) -> None:
    """A resource that commits at its end is inside the guarantee."""
    kafka, topic, specs = prepared(1, handler="mine:put", resources={"out": "mine:out"})
    code = """
refused = 0
class Kept(list):
    pass

def out():
    global refused
    kept = Kept()
    yield kept
    if kept and kept[0].offset == 3 and refused < 2:
        refused += 1
        raise OSError("the disk is full")
    for record in kept:
        do(record)

def put(record, out):
    out.append(record)
    tell(record.offset)
"""
    ends = deliveries.fill(kafka, topic, 6, 1)
    with Members(tmp_path, specs, code) as running:
        eventually(lambda: distinct(tmp_path) >= 6, within=WITHIN)
        tried = Counter(running.alive[0].got)
        assert tried == {0: 1, 1: 1, 2: 1, 3: 3, 4: 1, 5: 1}
        assert "did not close: OSError: the disk is full" in running.alive[0].log
    found = judge(deliveries.done(tmp_path), ends)
    assert (found.lost, found.duplicates, found.skipped) == ((), 0, ())


def test_the_judge_sees_what_is_wrong() -> None:
    done = [Done(1, 0, 0), Done(1, 0, 2), Done(2, 0, 0), Done(2, 0, 2), Done(2, 0, 2)]
    found = judge(done, {0: 4})
    assert found.lost == ((0, 1), (0, 3))
    assert found.duplicates == 3
    assert found.skipped == (Done(1, 0, 2), Done(2, 0, 2), Done(2, 0, 2))
    assert found.backwards == (Done(2, 0, 2),)
