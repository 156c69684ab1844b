"""RUNS IN PYTEST: a project that reads a real Kafka, what was sent to it, and what its handlers stored."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from support.eventually import eventually
from support.kafka import Kafka
from support.project import FAST, NOTE, Project
from support.real_kafka import RealKafka
from support.supervisor_process import Supervisor

WITHIN = 90.0  # seconds for a join, a rebalance or a session timeout on a loaded machine
STORE = NOTE + '\ndef store(record):\n    note("stored", f"{record.value} {os.getpid()}")\n'


class Flow:
    """One consumer `reader` of a topic of its own; values are numbers from 0 on."""

    partitions = 4

    def __init__(self, folder: Path, kafka: RealKafka, code: str = STORE, *, head: str = FAST, **settings: str) -> None:
        """`settings`: TOML values of the consumer; `head`: the tables before it."""
        self.kafka: Kafka = kafka.kafka()
        self.topic = kafka.create(self.partitions)
        self.group = f"readers-of-{self.topic}"
        self.letters = kafka.create(1)
        self._head = head + f'\n[kafka]\nbootstrap_servers = "{kafka.bootstrap}"\n'
        self._settings = settings
        self.sent = 0
        self.made = Project(folder, self._config(), code)

    def change(self, supervisor: Supervisor, **settings: str) -> None:
        """Reload with other settings."""
        self._settings |= settings
        self.made.configure(self._config())
        code, reply = supervisor.request("POST", "/v1/reload", {})
        assert (code, reply["applied"]) == (200, True), reply

    def send(self, count: int = 4, topic: str | None = None) -> range:
        """Send the next numbers, to every partition in turn."""
        numbers = range(self.sent, self.sent + count)
        self.sent += count
        for partition in range(self.partitions):
            mine: list[object] = [number for number in numbers if number % self.partitions == partition]
            self.kafka.produce(topic or self.topic, mine, partition=partition)
        return numbers

    def stored(self) -> Counter[int]:
        """How often each number was."""
        return Counter(int(line.split()[0]) for line in self.made.lines("stored"))

    def by(self) -> dict[int, int]:
        """By which process each was, at last."""
        return {int(number): int(pid) for number, pid in (line.split() for line in self.made.lines("stored"))}

    def holders(self, numbers: range) -> set[int]:
        """By which processes those of these numbers were that are stored already."""
        return {pid for number, pid in self.by().items() if number in numbers}

    def wait_stored(self, numbers: range, within: float = WITHIN) -> set[int]:
        """Return the pids of those who stored them."""
        try:
            eventually(lambda: self.by().keys() >= set(numbers), within, every=0.05)
        except AssertionError:
            missing = sorted(set(numbers) - self.by().keys())
            raise AssertionError(f"not stored within {within:g} s: {missing}") from None
        return self.holders(numbers)

    def wait_shared(self, members: int, within: float = WITHIN) -> None:
        """Send until so many processes store what was sent."""
        eventually(lambda: len(self.wait_stored(self.send())) == members, within, what=f"{members} handle records")

    def wait_all_stored(self, within: float = WITHIN) -> Counter[int]:
        """Nothing is lost, and nothing was stored that was not sent."""
        self.wait_stored(range(self.sent), within)
        found = self.stored()
        assert found.keys() == set(range(self.sent))
        return found

    def committed(self) -> list[int]:
        return [self.kafka.committed(self.group, self.topic, partition) for partition in range(self.partitions)]

    def ends(self) -> list[int]:
        return [self.kafka.end(self.topic, partition) for partition in range(self.partitions)]

    def _config(self) -> str:
        given: Mapping[str, str] = {
            "handler": '"mine:store"',
            "topics": f'["{self.topic}"]',
            "group_id": f'"{self.group}"',
            "auto_offset_reset": '"earliest"',
            "dead_letter_topic": f'"{self.letters}"',
            **self._settings,
        }
        return self._head + "\n[consumers.reader]\n" + "".join(f"{key} = {value}\n" for key, value in given.items())


def kill(supervisor: Supervisor, name: str) -> int:
    """SIGKILL the process of this child, once it is ready; return its pid."""
    pid = supervisor.pid_of(name)
    os.kill(pid, signal.SIGKILL)
    return pid
