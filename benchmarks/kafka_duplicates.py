"""After kill -9 of a consumer's process: what is lost and what comes twice, for each kind of delivery.

    python benchmarks/kafka_duplicates.py [--kills 15] [--records 20000]

A real Apache Kafka, the real `supervisor` command with two members, a process of which is killed every half second.
`none` is at_least_once without its page: what everybody else does.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.eventually import eventually  # noqa: E402
from support.kafka import Kafka  # noqa: E402
from support.project import Project  # noqa: E402
from support.real_kafka import RealKafka, why_not  # noqa: E402

CONFIG = """
[supervisor]
stable_after = "100ms"
watch = false

[resources]
db = "mine:db"

[kafka]
bootstrap_servers = "{bootstrap}"

[consumers.reader]
handler = "mine:{handler}"
topics = ["{topic}"]
group_id = "readers-of-{topic}"
auto_offset_reset = "earliest"
processes = 2
batch_size = 100
{more}
"""
CODE = """
import os, sqlite3, time
HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.open(os.path.join(HERE, "done"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
TO = "{to}"

def do(record):
    time.sleep({pause})
    os.write(OUT, f"{{record.partition}} {{record.offset}}\\n".encode())

def one(record):
    do(record)

def many(records: list):
    for record in records:
        do(record)

def db():
    connection = sqlite3.connect(os.path.join(HERE, "kept.db"), timeout=30)
    try:
        yield connection
    finally:
        connection.close()

def keep(records: list, db, ctx):
    with ctx.ledger(db):
        db.executemany("INSERT INTO kept VALUES (?, ?)", [(r.partition, r.offset) for r in records])

def forward(records: list, ctx):
    for record in records:
        ctx.produce(TO, [record.partition, record.offset])
"""
MODES = {
    "none": ("one", ""),
    "at_least_once": ("one", ""),
    "at_least_once, batch": ("many", ""),
    "ledger": ("keep", 'delivery = "ledger"\nledger = "db"'),
    "transactional": ("forward", 'delivery = "transactional"'),
    "at_most_once": ("one", 'delivery = "at_most_once"'),
}
Place = tuple[int, int]


class Seen(NamedTuple):
    lost: int
    twice: int
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description="lost and duplicate records under kill -9")
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--records", type=int, default=20_000)
    given = parser.parse_args()
    if reason := why_not():
        parser.error(reason)
    with tempfile.TemporaryDirectory(prefix="duplicates-") as folder:
        server = RealKafka(Path(folder), default_timeouts=True)
        try:
            print(f"{given.records} records, {given.kills} kills\n{'delivery':22} lost  twice  seconds")
            for mode in MODES:
                run(server, Path(folder) / mode.replace(", ", "-"), mode, given)
        finally:
            server.stop()


def run(server: RealKafka, folder: Path, mode: str, given: argparse.Namespace) -> Seen:
    handler, more = MODES[mode]
    topic, to = server.create(4), server.create(1)
    kafka = Kafka(server.bootstrap, False, lambda partitions: topic)
    for partition in range(4):
        kafka.produce(topic, list(range(given.records // 4)), partition=partition)
    config = CONFIG.format(bootstrap=server.bootstrap, topic=topic, handler=handler, more=more)
    project = Project(folder, config, CODE.format(to=to, pause=0.0002))
    kept = sqlite3.connect(folder / "kept.db")
    kept.execute("PRAGMA journal_mode=WAL")
    kept.execute("CREATE TABLE kept (part INTEGER, at INTEGER)")
    done = {
        "keep": lambda: kept.execute("SELECT part, at FROM kept").fetchall(),
        "forward": lambda: committed(server, to),
    }
    began = time.monotonic()
    found = killed(project, mode, done.get(handler, lambda: lines(folder)), given)
    lost, twice = given.records - len(found), sum(found.values()) - len(found)
    seen = Seen(lost, twice, time.monotonic() - began)
    print(f"{mode:22} {seen.lost:4}  {seen.twice:5}  {seen.seconds:7.1f}", flush=True)
    kept.close()
    return seen


def killed(project: Project, mode: str, done: Callable[[], list[Place]], given: argparse.Namespace) -> Counter[Place]:
    with project.supervisor() as supervisor:
        supervisor.wait_ready()
        for number in range(given.kills):
            time.sleep(0.5)  # part of what is measured
            if mode == "none":
                (project.state / "progress" / "reader.page").unlink(missing_ok=True)
            os.kill(supervisor.pid_of(f"reader:{1 + number % 2}"), signal.SIGKILL)
        most = given.records - (2 * given.kills * 100 if mode == "at_most_once" else 0)
        eventually(lambda: len(set(done())) >= most, within=300, every=1.0)
        seen = -1
        while seen != (seen := len(done())):
            time.sleep(3)  # what comes twice comes late
        supervisor.stop()
    return Counter(done())


def lines(folder: Path) -> list[Place]:
    return [(int(a), int(b)) for a, b in (line.split() for line in (folder / "done").read_text().splitlines())]


def committed(server: RealKafka, topic: str) -> list[Place]:
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    reader = Consumer(
        {"bootstrap.servers": server.bootstrap, "group.id": "judge", "isolation.level": "read_committed"}
        | {"enable.partition.eof": True, "enable.auto.commit": False}
    )
    reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    found: list[Place] = []
    while (message := reader.poll(10)) is not None and message.error() is None:
        partition, offset = json.loads(message.value() or b"")
        found.append((partition, offset))
    reader.close()
    return found


if __name__ == "__main__":
    main()
