"""RUNS IN PYTEST: a judge of what handlers did, by what they did, in which order, and nothing else."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from supervisor.core.spec import ChildSpec, ConsumerSettings
from support.kafka import Consumer, EmbeddedBroker, Kafka


class Done(NamedTuple):
    """One record as a handler did it, in the order of the file."""

    pid: int
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Verdict:
    lost: tuple[tuple[int, int], ...]  # partition, offset: written to Kafka and never done
    duplicates: int
    skipped: tuple[Done, ...]  # a process went past records that nobody had done by then
    backwards: tuple[Done, ...]  # a process did again what it had done itself


def judge(done: Iterable[Done], ends: dict[int, int]) -> Verdict:
    """`ends`: how many records were written to each partition."""
    times: Counter[tuple[int, int]] = Counter()
    last: dict[tuple[int, int], int] = {}
    whole: dict[int, int] = defaultdict(int)  # before this offset all of the partition is done
    skipped, backwards = [], []
    for one in done:
        before = last.get((one.pid, one.partition))
        if before is not None and one.offset <= before:
            backwards.append(one)
        if one.offset > whole[one.partition]:
            skipped.append(one)
        last[one.pid, one.partition] = one.offset
        times[one.partition, one.offset] += 1
        while times[one.partition, whole[one.partition]]:
            whole[one.partition] += 1
    lost = tuple((p, o) for p, end in sorted(ends.items()) for o in range(end) if not times[p, o])
    return Verdict(lost, sum(n - 1 for n in times.values() if n > 1), tuple(skipped), tuple(backwards))


def beside(broker: EmbeddedBroker, folder: Path, spec: ChildSpec) -> ChildSpec:
    """Let the consumer know the broker as "embedded", with its incarnation, as under one supervisor."""
    state = folder / ".supervisor"
    state.mkdir(parents=True, exist_ok=True)
    shutil.copy(broker.address_file, state / "broker.json")
    assert isinstance(spec.settings, ConsumerSettings)
    return replace(spec, settings=replace(spec.settings, bootstrap_servers="embedded"))


DONE = """
import sqlite3
OUT = os.open(HERE / "done", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def do(record):
    os.write(OUT, f"{os.getpid()} {record.partition} {record.offset}\\n".encode())

def one(record):
    time.sleep(0.0005)
    do(record)

def many(records: list[Record]):
    time.sleep(0.002)
    for record in records:
        do(record)
"""


def done(folder: Path) -> list[Done]:
    """Return what the handlers of DONE wrote."""
    path = folder / "done"
    text = path.read_text() if path.exists() else ""
    return [Done(*map(int, line.split())) for line in text.splitlines()]


def fill(kafka: Kafka, topic: str, records: int, partitions: int) -> dict[int, int]:
    """Write as many to each partition; return how many those are."""
    for partition in range(partitions):
        kafka.produce(topic, list(range(records // partitions)), partition=partition)
    return dict.fromkeys(range(partitions), records // partitions)


class Members:
    """The members of one consumer, each killed and born again as the supervisor would do it."""

    def __init__(self, folder: Path, specs: list[ChildSpec], code: str = "") -> None:
        self._folder, self._specs, self._code = folder, specs, DONE + code
        self.alive = [Consumer(folder, spec, self._code) for spec in specs]

    def __enter__(self) -> Members:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.alive:
            member.__exit__()

    def kill(self, index: int) -> None:
        """SIGKILL, and a new process in its place."""
        self.end(index)
        self.begin(index)

    def end(self, index: int) -> None:
        self.alive.pop(index).__exit__()

    def begin(self, index: int) -> Consumer:
        self.alive.insert(index, Consumer(self._folder, self._specs[index], self._code))
        return self.alive[index]
