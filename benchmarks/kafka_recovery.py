"""After kill -9 of a consumer's process: how long until its records are handled again. Run from a terminal.

    python benchmarks/kafka_recovery.py [--processes 1] [--kills 20] [--every 10] [--classic]

A real Apache Kafka with its own group timeouts (session 45 s), the real `supervisor` command, records all the time.
Each kill is the first failure: `stable_after` is shorter than the pause between two kills, so no backoff is measured.
A partition flows again when a record of it is handled by a process that is not the dead one.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.eventually import eventually  # noqa: E402
from support.project import Project  # noqa: E402
from support.real_kafka import RealKafka, why_not  # noqa: E402
from support.supervisor_process import Supervisor  # noqa: E402

PARTITIONS = 4
RATE = 200  # records a second
CONFIG = """
[supervisor]
stable_after = "3s"
watch = false

[kafka]
bootstrap_servers = "{bootstrap}"
properties = {properties}

[consumers.reader]
handler = "mine:store"
topics = ["{topic}"]
group_id = "readers-of-{topic}"
auto_offset_reset = "earliest"
dead_letter_topic = "{topic}.dlq"
processes = {processes}
"""
CODE = """
import os, time
OUT = os.open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "seen"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def store(record):
    os.write(OUT, f"{time.time():.6f} {os.getpid()} {record.partition} {record.value}\\n".encode())
"""
STEPS = ("died", "prepared", "started", "ready", "assigned")


@dataclass(frozen=True, slots=True)
class Seen:
    at: float
    pid: int
    partition: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds after the kill."""

    first: float  # of the dead one's partitions, by whomever
    last: float
    replacement: float  # the new process handled its first record; nan: others have its partitions now
    steps: dict[str, float]


class Reader:
    """The file that the handlers write, read once."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._file = path.open()
        self._rest = ""
        self.seen: list[Seen] = []

    def read(self) -> list[Seen]:
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        for line in lines:
            at, pid, partition, _ = line.split(" ", 3)
            self.seen.append(Seen(float(at), int(pid), int(partition)))
        return self.seen

    def partitions_of(self, pid: int, since: float) -> set[int]:
        return {one.partition for one in self.read() if one.pid == pid and one.at >= since}


@contextmanager
def producing(bootstrap: str, topic: str) -> Iterator[None]:
    """Records to every partition in turn, until the block ends."""
    from confluent_kafka import Producer

    end = threading.Event()

    def produce() -> None:
        producer, number = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1}), 0
        while not end.wait(1 / RATE):
            producer.produce(topic, json.dumps(number).encode(), partition=number % PARTITIONS)
            producer.poll(0)
            number += 1
        producer.flush(10)

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def killed(supervisor: Supervisor, reader: Reader, name: str) -> Recovery:
    pid = supervisor.pid_of(name)
    own = eventually(lambda: reader.partitions_of(pid, time.time() - 1.0), within=90)
    at = time.time()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: own <= others(reader, pid, at).keys(), within=120, every=0.02)
    heir = supervisor.pid_of(name)
    flowing = others(reader, pid, at)
    steps = {step: when - at for step, when in told(supervisor.state, name, at).items()}
    last = max(flowing[partition] for partition in own)
    by_heir = min((one.at for one in reader.read() if one.pid == heir), default=float("nan"))
    return Recovery(min(flowing[partition] for partition in own) - at, last - at, by_heir - at, steps)


def others(reader: Reader, dead: int, at: float) -> dict[int, float]:
    """Return when each partition was first handled by another process than the dead one."""
    found: dict[int, float] = {}
    for one in reader.read():
        if one.at > at and one.pid != dead:
            found.setdefault(one.partition, one.at)
    return found


def told(state: Path, name: str, at: float) -> dict[str, float]:
    """Return when the log tells of each step, first time after `at`."""
    found: dict[str, float] = {}
    for file in ("supervisor", name):
        for text in (state / "logs" / f"{file}.log").read_text().splitlines():
            if not text.startswith("{"):
                continue
            line: dict[str, Any] = json.loads(text)
            step = "assigned" if line["text"].startswith("assigned") else line.get("event", "")
            when = datetime.fromisoformat(line["time"]).timestamp()
            if line["child"] == name and when >= at - 0.001 and step in STEPS:
                found.setdefault(step, when)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="seconds from kill -9 of a consumer's process to its next record")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two kills")
    parser.add_argument("--classic", action="store_true", help="the older group protocol")
    given = parser.parse_args()
    if reason := why_not():
        parser.error(reason)
    with tempfile.TemporaryDirectory(prefix="recovery-") as folder:
        server = RealKafka(Path(folder), default_timeouts=True)
        try:
            show(measured(server, Path(folder) / "project", given))
        finally:
            server.stop()


def measured(server: RealKafka, folder: Path, given: argparse.Namespace) -> list[Recovery]:
    topic = server.create(PARTITIONS)
    properties = '{ "group.protocol" = "classic" }' if given.classic else "{}"
    config = CONFIG.format(bootstrap=server.bootstrap, topic=topic, processes=given.processes, properties=properties)
    project = Project(folder, config, CODE)
    names = ["reader"] if given.processes == 1 else [f"reader:{n + 1}" for n in range(given.processes)]
    with project.supervisor() as supervisor, producing(server.bootstrap, topic):
        supervisor.wait_ready()
        reader = Reader(folder / "seen")
        found = []
        for number in range(given.kills):
            time.sleep(given.every)  # part of what is measured: a group at rest
            found.append(killed(supervisor, reader, names[number % len(names)]))
            show_one(number, found[-1])
    return found


def show_one(number: int, one: Recovery) -> None:
    steps = "  ".join(f"{step} {one.steps[step]:.3f}" for step in STEPS if step in one.steps)
    print(f"{number + 1:3}  {one.first:6.3f}  {one.last:6.3f}  {one.replacement:6.3f}   {steps}", flush=True)


def show(found: list[Recovery]) -> None:
    for what, values in (
        ("first partition", [one.first for one in found]),
        ("last partition", [one.last for one in found]),
        ("replacement", [one.replacement for one in found if one.replacement == one.replacement]),
    ):
        if values:
            p50, most = statistics.median(values), max(values)
            print(f"{what:16} flows again after: p50 {p50:.3f} s, max {most:.3f} s, of {len(values)}")


if __name__ == "__main__":
    main()
