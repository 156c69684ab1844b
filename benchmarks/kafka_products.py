"""The products that kafka.py compares, and one consumer of each: started, watched, killed and stopped.

The peers live in environments of their own below .bench, made on first use; the bare loops run in ours, with the very
client that we use.
"""

from __future__ import annotations

import itertools
import mmap
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from processes import alive, below, wait_for

HERE = Path(__file__).resolve().parent
BENCH = HERE.parent / ".bench"
WORDS = 64  # as in kafka_handlers.py
START = 120.0  # seconds until each process has handled a record
_runs = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Product:
    title: str
    kind: str  # of kafka_peers.py; for ours the suffix of the handler's name
    venv: str = ""  # below .bench; "": the one that runs this
    ours: bool = False
    batch: bool = False


PRODUCTS = (
    Product("**forkwarden**, record by record", "", ours=True),
    Product("**forkwarden**, batch handler", "_many", ours=True, batch=True),
    Product("confluent-kafka `poll()`, tuned", "poll-tuned"),
    Product("confluent-kafka `consume(500)`, tuned", "consume-tuned", batch=True),
    Product("confluent-kafka `poll()`, defaults", "poll"),
    Product("confluent-kafka `consume(500)`, defaults", "consume", batch=True),
    Product("aiokafka `getmany(500)`", "aiokafka", "kafka-venv", batch=True),
    Product("kafka-python `poll(500)`", "kafka-python", "kafka-venv", batch=True),
    Product("FastStream[confluent]", "faststream", "kafka-venv"),
    Product("FastStream[confluent], `batch=True`", "faststream-batch", "kafka-venv", batch=True),
    Product("Quix Streams", "quix", "quix-venv"),
    Product("Faust", "faust", "faust-venv"),
)
NEEDS = {
    "kafka-venv": ["confluent-kafka", "aiokafka", "kafka-python", "crc32c", "faststream[confluent]"],
    "quix-venv": ["quixstreams"],
    "faust-venv": ["faust-streaming"],
}


def install() -> dict[str, str]:
    """Make the environments that are missing. Return, for each that cannot be made, why."""
    refused = {}
    for name, packages in NEEDS.items():
        folder = BENCH / name
        if (folder / "complete").exists():
            continue
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        command = [str(folder / "bin" / "pip"), "install", "-q", *packages]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            (folder / "complete").touch()
        else:
            refused[name] = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:200]
    return refused


CONFIG = """
[supervisor]
watch = false
stable_after = "1s"

[kafka]
bootstrap_servers = "{bootstrap}"

[consumers.reader]
handler = "ours:{handler}"
topics = ["{topic}"]
group_id = "{group}"
auto_offset_reset = "earliest"
format = "{format}"
processes = {processes}
"""
OURS = """
import kafka_handlers as handlers
from kafka_handlers import COUNT, OWN, wait

def noop(record):
    COUNT[OWN] += 1
    if not COUNT[0]:
        wait()

json = noop

def sqlite(record):
    handlers.sqlite(record.value)

def slow(record):
    handlers.slow(record.value)

def noop_many(records):
    COUNT[OWN] += len(records)
    if not COUNT[0]:
        wait()

json_many = noop_many

def sqlite_many(records):
    handlers.sqlite_many([record.value for record in records])

def slow_many(records):
    for record in records:
        handlers.slow(record.value)
"""


class Consumer:
    """One product, running: a group of its own, its processes, and what each has handled."""

    def __init__(
        self,
        product: Product,
        folder: Path,
        bootstrap: str,
        topic: str,
        handler: str,
        *,
        processes: int = 1,
        session: int = 0,
    ) -> None:
        """`session`: milliseconds until the broker gives a dead process up; 0: as the product comes."""
        self.product, self.topic, self.processes = product, topic, processes
        self.folder = folder / f"run{next(_runs)}"
        self.folder.mkdir(parents=True)
        self.group = f"{self.folder.name}-of-{topic}"
        (self.folder / "counts").write_bytes(bytes(8 * WORDS))
        with (self.folder / "counts").open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8 * WORDS)
        self._words = memoryview(self._map).cast("Q")
        self._environment = {
            **os.environ,
            "KAFKA_BENCH": str(self.folder),
            "KAFKA_BOOTSTRAP": bootstrap,
            "KAFKA_TOPIC": topic,
            "KAFKA_GROUP": self.group,
            "KAFKA_SESSION": str(session),
        }
        self._output = (self.folder / "output").open("wb")
        self._started: list[subprocess.Popen[bytes]] = []
        self._handler = handler
        if product.ours:
            self._make_project(bootstrap)

    def _make_project(self, bootstrap: str) -> None:
        shutil.copy(HERE / "kafka_handlers.py", self.folder)
        (self.folder / "ours.py").write_text(OURS)
        text = CONFIG.format(
            bootstrap=bootstrap,
            topic=self.topic,
            group=self.group,
            handler=self._handler + self.product.kind,
            format="json" if self._handler == "json" else "bytes",
            processes=self.processes,
        )
        (self.folder / "config.toml").write_text(text)

    def __enter__(self) -> Self:
        for _ in range(1 if self.product.ours else self.processes):
            self._start()
        return self

    def _start(self) -> None:
        if self.product.ours:
            command = [sys.executable, "-m", "supervisor", "start"]
        else:
            python = BENCH / self.product.venv / "bin" / "python" if self.product.venv else sys.executable
            command = [str(python), str(HERE / "kafka_peers.py"), self.product.kind, self._handler]
        self._started.append(
            subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
            )
        )

    def __exit__(self, *_: object) -> None:
        for each in self._started:
            if each.poll() is None:
                for pid in [each.pid, *below(each.pid)]:
                    _signal(pid, signal.SIGCONT)
                each.terminate() if self.product.ours else each.kill()
        for each in self._started:
            try:
                each.wait(20)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()
        self._output.close()
        self._words.release()
        self._map.close()
        if not os.environ.get("KAFKA_BENCH_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- what it does

    @property
    def handled(self) -> int:
        return sum(self._words[1:])

    def handled_by(self, pid: int) -> int:
        return sum(self._words[number] for number, owner in self._owners().items() if owner == pid)

    def _owners(self) -> dict[int, int]:
        links = (each for each in os.listdir(self.folder) if each.startswith("process"))
        return {int(each[len("process") :]): int(os.readlink(self.folder / each)) for each in links}

    def pids(self) -> list[int]:
        """Return those that handle records, in the order in which they came."""
        owners = self._owners()
        return [owners[number] for number in sorted(owners) if alive(owners[number]) and self._words[number]]

    def everyone(self) -> list[int]:
        """With whoever supervises them."""
        return [pid for each in self._started for pid in (each.pid, *below(each.pid))]

    def wait_all_handle(self) -> None:
        wait_for(lambda: len(self.pids()) >= self.processes or self.ended() is not None, START, every=0.01)
        if len(self.pids()) < self.processes:
            raise Failed(f"{len(self.pids())} of {self.processes} processes handle records: {self.tail()}")

    def go(self) -> None:
        """Until here each call of the handler takes some milliseconds."""
        self._words[0] = 1

    def traced(self) -> list[int]:
        """Return the numbers of the records that `slow` handled, in that order."""
        path = self.folder / "trace"
        return [int(line) for line in path.read_bytes().split()] if path.exists() else []

    def tail(self) -> str:
        return (self.folder / "output").read_text(errors="replace")[-400:]

    # -- what is done to it

    def kill(self, pid: int) -> None:
        """SIGKILL; ours comes again by itself, a peer's process is started again here, at once."""
        os.kill(pid, signal.SIGKILL)
        if not self.product.ours:
            self._started = [each for each in self._started if each.pid != pid or each.wait() is None]
            self._start()

    def terminate(self) -> None:
        for each in self._started:
            each.terminate()

    def ended(self) -> int | None:
        """Return the exit code once one has ended, of whatever it is that was started."""
        return next((code for each in self._started if (code := each.poll()) is not None), None)

    def wait_ended(self, within: float) -> list[tuple[float, int]]:
        """Return when each ended and how, of those that did in time."""
        ended: dict[int, tuple[float, int]] = {}
        end = time.monotonic() + within
        while len(ended) < len(self._started) and time.monotonic() < end:
            for each in self._started:
                if each.pid not in ended and each.poll() is not None:
                    ended[each.pid] = time.monotonic(), each.returncode
            time.sleep(0.002)
        return list(ended.values())


class Failed(Exception):
    """It did not do what is measured. Said in the table, never hidden."""


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
