"""The command: `python tests/chaos/storm.py --records 1000000 --kills 200 --freezes 50 --bounces 50`: Kafka in a storm.

For each kind of delivery: a real Apache Kafka, the real `supervisor start` with three members. Records come all the
time; members are killed (-9) and frozen for a while, some longer than their session, and the broker is bounced, by
SIGTERM and by SIGKILL in turn. Then a judge of its own counts what was lost, what came twice, and whose fault it was.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sqlite3
import struct
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(_ROOT), str(_ROOT / "tests")) if path not in sys.path]

from chaos.shared import Breach, command, now, say  # noqa: E402
from chaos.storm_judge import Did, Judgement, judged  # noqa: E402
from support.eventually import eventually  # noqa: E402
from support.project import Project  # noqa: E402
from support.real_kafka import RealKafka, why_not  # noqa: E402
from support.supervisor_process import NotAnswering, Supervisor  # noqa: E402

PARTITIONS, MEMBERS, BATCH = 6, 3, 100
SESSION = 3.0  # seconds, of the test broker
SETTLE = 240.0  # seconds after the storm until all is done
README = _ROOT / "README.md"
BEGIN, END = "<!-- storm -->", "<!-- /storm -->"
CONFIG = """
[supervisor]
backoff = {{ base = "20ms", max = "100ms", jitter = 0.2 }}
crash_loop = {{ count = 1000000, window = "1s" }}
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
format = "bytes"
processes = {members}
batch_size = {batch}
dead_letter_topic = "{letters}"
{more}
"""
CODE = """
import os, sqlite3, struct
from struct import Struct

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.open(os.path.join(HERE, "done"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
PID, LINE, TO = os.getpid(), Struct("<iiq"), "{to}"

def one(record):
    os.write(OUT, LINE.pack(PID, record.partition, record.offset))

def many(records):
    os.write(OUT, b"".join([LINE.pack(PID, record.partition, record.offset) for record in records]))

def db():
    connection = sqlite3.connect(os.path.join(HERE, "kept.db"), timeout=60)
    connection.execute("PRAGMA synchronous=OFF")
    try:
        yield connection
    finally:
        connection.close()

def keep(records, db, ctx):
    with ctx.ledger(db):
        db.executemany("INSERT INTO kept VALUES (?, ?, ?)", [(PID, r.partition, r.offset) for r in records])

def forward(records, ctx):
    for record in records:
        ctx.produce(TO, LINE.pack(PID, record.partition, record.offset))
"""


@dataclass(frozen=True, slots=True)
class Mode:
    handler: str
    more: str = ""
    each: int = 1  # records that a kill may bring twice
    may_lose: bool = False


MODES = {
    "at_least_once, record by record": Mode("one"),
    "at_least_once, batches": Mode("many", each=BATCH),
    "ledger": Mode("keep", 'delivery = "ledger"\nledger = "db"', each=0),
    "transactional": Mode("forward", 'delivery = "transactional"', each=0),
    "at_most_once": Mode("one", 'delivery = "at_most_once"', each=0, may_lose=True),
}


@dataclass(slots=True)
class Harm:
    killed: list[int] = field(default_factory=list)
    frozen: list[int] = field(default_factory=list)
    bounces: int = 0


class Storm:
    """One mode: its project and topics, and what was done to it."""

    def __init__(self, server: RealKafka, folder: Path, mode: Mode, rng: random.Random) -> None:
        self.server, self.mode, self.rng, self.harm = server, mode, rng, Harm()
        self.topic, self.to, self.letters = server.create(PARTITIONS), server.create(1), server.create(1)
        config = CONFIG.format(
            bootstrap=server.bootstrap,
            topic=self.topic,
            letters=self.letters,
            handler=mode.handler,
            members=MEMBERS,
            batch=BATCH,
            more=mode.more,
        )
        self.project = Project(folder, config, CODE.format(to=self.to))
        self.folder = folder
        if mode.handler == "keep":
            with self._kept() as kept:
                kept.execute("PRAGMA journal_mode=WAL")
                kept.execute("CREATE TABLE kept (pid INTEGER, part INTEGER, at INTEGER)")
        self._wakes: list[tuple[float, int]] = []
        self._away = False  # the broker is on its way out

    # -- records

    def send(self, producer: Any, count: int, first: int) -> None:
        for number in range(first, first + count):
            while True:
                try:
                    producer.produce(self.topic, b"%d" % number, partition=number % PARTITIONS)
                    break
                except BufferError:
                    self.wake_due()
                    producer.poll(0.1)
        producer.poll(0)

    def done(self) -> Iterator[Did]:
        if self.mode.handler == "keep":
            with self._kept() as kept:
                yield from (Did(*row) for row in kept.execute("SELECT pid, part, at FROM kept ORDER BY rowid"))
        elif self.mode.handler == "forward":
            yield from self._read(self.to)
        else:
            path = self.folder / "done"
            yield from (Did(*row) for row in struct.iter_unpack("<iiq", path.read_bytes() if path.exists() else b""))

    def _read(self, topic: str) -> Iterator[Did]:
        """As a reader of committed records sees it, to the end."""
        from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

        reader = Consumer(
            {"bootstrap.servers": self.server.bootstrap, "group.id": "judge", "isolation.level": "read_committed"}
            | {"enable.partition.eof": True, "enable.auto.commit": False, "log_level": 2}
        )
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        while (message := reader.poll(30)) is not None and message.error() is None:
            yield Did(*struct.unpack("<iiq", message.value() or b""))
        reader.close()

    @contextmanager
    def _kept(self) -> Iterator[sqlite3.Connection]:
        kept = sqlite3.connect(self.folder / "kept.db", timeout=60)
        try:
            yield kept
        finally:
            kept.commit()
            kept.close()

    def letters_written(self) -> int:
        return self.server.kafka().end(self.letters)

    def ends(self) -> dict[int, int]:
        kafka = self.server.kafka()
        return {partition: kafka.end(self.topic, partition) for partition in range(PARTITIONS)}

    def is_over(self, ends: dict[int, int]) -> bool:
        from confluent_kafka import KafkaException

        self.wake_due()
        kafka, group = self.server.kafka(), f"readers-of-{self.topic}"
        try:
            return all(kafka.committed(group, self.topic, partition) >= end for partition, end in ends.items())
        except KafkaException:  # the broker was bounced a moment ago: its coordinator is not there yet
            return False

    # -- harm

    def kill(self, supervisor: Supervisor) -> None:
        if (pid := self._victim(supervisor)) is not None:
            self.harm.killed.append(pid)
            _signal(pid, signal.SIGKILL)

    def freeze(self, supervisor: Supervisor) -> None:
        """Every other one for longer than its session lasts: then others have its partitions when it wakes up."""
        if (pid := self._victim(supervisor)) is not None:
            long = len(self.harm.frozen) % 2 == 1
            self.harm.frozen.append(pid)
            _signal(pid, signal.SIGSTOP)
            self._wakes.append((now() + self.rng.uniform(*((SESSION + 1, SESSION + 2) if long else (0.1, 1.0))), pid))

    def bounce(self, _: Supervisor) -> None:
        """The broker goes, every other time by SIGKILL. It comes again beside the other deeds: see `wake_due`."""
        self.back_again()
        self.harm.bounces += 1
        self.server.signal(signal.SIGTERM if self.harm.bounces % 2 else signal.SIGKILL)
        self._away = True

    def back_again(self) -> None:
        """Wait until the broker answers."""
        eventually(lambda: self.wake_due() or not self._away, within=60, every=0.05, what="the broker ends")
        try:
            self.server.wait_until_it_answers(self.wake_due)
        except AssertionError:  # ended while it began, it may never come up: that is no matter of ours
            self.server.signal(signal.SIGKILL)
            eventually(lambda: self.server.gone, within=30, what="the broker is gone")
            self.server.wait_until_it_answers(self.wake_due)

    def _victim(self, supervisor: Supervisor) -> int | None:
        """A living member that is not frozen now; None when none comes."""
        frozen = {pid for _, pid in self._wakes}
        end = now() + 60.0
        while now() < end:
            self.wake_due()
            try:
                children = supervisor.status()["children"]
            except NotAnswering:
                continue
            pids = [c["pid"] for c in children if c["kind"] == "consumer" and c["state"] == "running" and c["ready"]]
            if free := [pid for pid in pids if pid not in frozen]:
                return int(self.rng.choice(free))
            time.sleep(0.02)
        return None

    def wake_due(self, *, all_of_them: bool = False) -> None:
        """Frozen members whose time is over, and the broker once it has ended."""
        if self.server.gone:  # by whomever
            self._away = False
            self.server.launch()
        for at, pid in list(self._wakes):
            if all_of_them or now() >= at:
                self._wakes.remove((at, pid))
                _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it ended meanwhile


def storm(server: RealKafka, folder: Path, name: str, given: argparse.Namespace) -> tuple[Judgement, Harm, float]:
    """Records come while harm is done; return what the judge says when all is through."""
    mode = MODES[name]
    one = Storm(server, folder, mode, random.Random(f"{given.seed} {name}"))
    deeds = [one.kill] * given.kills + [one.freeze] * given.freezes + [one.bounce] * given.bounces
    one.rng.shuffle(deeds)
    began = now()
    with one.project.supervisor() as supervisor:
        supervisor.wait_ready()
        _harm(one, supervisor, deeds, given)
        ends = one.ends()
        while (missing := given.records - sum(ends.values())) > 0:  # the broker's end may take a batch with it
            _send_in_peace(one, missing)
            ends = one.ends()
        _wait_until_over(one, ends, name)
        time.sleep(SESSION)  # who still has a record in hand writes it
        if supervisor.stop() not in (0, 1):
            raise Breach(f"{name}: the supervisor ended with {supervisor.process.returncode}")
    found = judged(one.done(), ends, one.harm.killed, one.harm.frozen)
    _check(name, mode, found, one.letters_written())
    return found, one.harm, now() - began


def _harm(one: Storm, supervisor: Supervisor, deeds: list[Any], given: argparse.Namespace) -> None:
    """A share of the records before each deed."""
    from confluent_kafka import Producer

    producer = Producer(
        {"bootstrap.servers": one.server.bootstrap, "enable.idempotence": True, "linger.ms": 5, "log_level": 2}
        | {"message.timeout.ms": 120_000, "reconnect.backoff.max.ms": 500}
    )
    sent = 0
    steps = len(deeds) + 1
    for number, deed in enumerate([*deeds, None]):
        share = given.records * (number + 1) // steps - sent
        one.send(producer, share, sent)
        sent += share
        one.wake_due()
        time.sleep(one.rng.uniform(0.0, 2 * given.pause))
        if deed is not None:
            deed(supervisor)
    one.wake_due(all_of_them=True)
    one.back_again()
    if left := producer.flush(120):
        raise Breach(f"{left} records could not be written")


def _send_in_peace(one: Storm, count: int) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": one.server.bootstrap, "log_level": 2})
    one.send(producer, count, 0)
    producer.flush(120)


def _wait_until_over(one: Storm, ends: dict[int, int], name: str) -> None:
    """Kafka 4.3 may write group records behind transactions that it cannot read itself when it starts again."""
    try:
        eventually(lambda: one.is_over(ends), within=SETTLE, every=0.5, what=f"{name}: all records are committed")
    except AssertionError:
        log = (one.server.folder / "broker.log").read_text(errors="replace").splitlines()
        if own := [line for line in log if "Failed to load metadata from __consumer_offsets" in line]:
            raise Breach(f"{name}: the broker cannot read its own groups any more: {own[-1][:300]}") from None
        raise


def _check(name: str, mode: Mode, found: Judgement, letters: int) -> None:
    """Raises Breach."""
    said = f"{name}: of {found.sent} records"
    if len(found.lost) > letters and not mode.may_lose:
        raise Breach(f"{said} {len(found.lost)} were lost, with {letters} dead letters: {found.lost[:20]}")
    if found.passed and not mode.may_lose:
        raise Breach(f"{said} {len(found.passed)} were done before an earlier one: {found.passed[:20]}")
    if mode.each == 0 and found.twice:
        raise Breach(f"{said} {found.twice} came twice: {found.by_kill} {found.by_freeze} {found.by_nothing[:20]}")
    if most := {pid: times for pid, times in found.by_kill.items() if times > mode.each}:
        raise Breach(f"{said} more came twice than a killed process had in hand: {most}")
    if found.by_nothing:
        raise Breach(f"{said} {len(found.by_nothing)} came twice, and nobody was harmed: {found.by_nothing[:20]}")


HEAD = (
    "| delivery | records | `kill -9` | frozen | broker bounced | lost | twice after a kill | twice after a freeze "
    "| out of order | seconds |\n|---|---|---|---|---|---|---|---|---|---|\n"
)


def row(name: str, found: Judgement, harm: Harm, seconds: float) -> str:
    after = sum(found.by_kill.values())
    numbers = [f"{found.sent:,}", len(harm.killed), len(harm.frozen), harm.bounces, len(found.lost), after]
    passed = "–" if MODES[name].may_lose else len(found.passed)  # behind a lost record every other is out of order
    cells = " | ".join(map(str, [*numbers, found.by_freeze, passed, f"{seconds:.0f}"]))
    return f"| {name} | {cells} |\n"


def run(given: argparse.Namespace) -> Iterable[tuple[str, object]]:
    if reason := why_not():
        raise Breach(reason)
    rows = []
    for name in [each for each in MODES if given.modes in each]:
        folder = Path(tempfile.mkdtemp(prefix="storm-", dir="/tmp"))
        server = RealKafka(_made(folder / "kafka"))
        try:
            rows.append(row(name, *storm(server, folder / "project", name, given)))
            say(rows[-1].strip())
            if given.write_readme:  # at once: an hour's work is not to be lost by its last minute
                _write(rows[-1], given)
        except AssertionError:
            say(f"kept: {folder}")
            raise
        finally:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(HEAD + "".join(rows))
    return []


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _write(new: str, given: argparse.Namespace) -> None:
    """Put the row of one kind of delivery into the table; the others stay as they are."""
    before, _, rest = README.read_text().partition(BEGIN)
    table, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"README.md: expected {BEGIN} and {END}")
    told = (
        f"`python tests/chaos/storm.py --seed {given.seed}`: a real Kafka, {MEMBERS} members, {PARTITIONS} partitions."
    )
    rows = {name: line for name in MODES for line in table.splitlines(keepends=True) if line.startswith(f"| {name} |")}
    rows |= {name: new for name in MODES if new.startswith(f"| {name} |")}
    text = HEAD + "".join(rows[name] for name in MODES if name in rows)
    README.write_text(f"{before}{BEGIN}\n{told}\n\n{text}{END}{after}")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__.partition(":")[2])
    made.add_argument("--records", type=int, default=1_000_000, help="for each kind of delivery")
    made.add_argument("--kills", type=int, default=200)
    made.add_argument("--freezes", type=int, default=50)
    made.add_argument("--bounces", type=int, default=50)
    made.add_argument("--pause", type=float, default=0.5, help="seconds between two deeds, on average")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--modes", default="", help="those whose name has this text")
    made.add_argument("--write-readme", action="store_true", help="put the table into README.md")
    return made


if __name__ == "__main__":
    sys.exit(command(run, parser()))
