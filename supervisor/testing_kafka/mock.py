"""RUNS ANYWHERE, for the tests of a project: a broker of their own, in a process of its own, as the test sees it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from supervisor.core.kafka.decode import encode
from supervisor.core.kafka.record import Record

COMMAND = [sys.executable, "-P", "-m", "supervisor.testing_kafka.serve"]
Headers = Mapping[str, Any] | Sequence[tuple[str, Any]]


class MockFailed(Exception):
    """The broker could not do what it was asked for; says why."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as the broker has it."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp: int | None  # milliseconds

    @property
    def json(self) -> Any:
        """The value, read as JSON."""
        return None if self.value is None else json.loads(self.value)


class KafkaMock:
    """librdkafka's mock cluster with one broker on a free port of 127.0.0.1, for one test.

    It keeps what it holds in memory, of each partition the last 5 MB; `down` and `up` keep port, records and offsets.
    What it does not have: rights, passwords, TLS, a log that is compacted, aborted transactions that stay hidden.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()  # a thread of the test may take the broker down while a consumer runs
        self.bootstrap_servers: str = self._ask("address")
        self.incarnation = uuid.uuid4().hex

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def topic(self, name: str, partitions: int = 1) -> str:
        """Make a topic, unless it is there."""
        self._ask("topic", name, partitions)
        return name

    def produce(
        self,
        topic: str,
        *values: Any,
        key: str | bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> list[tuple[int, int]]:
        """Write records in this order; return partition and offset of each.

        bytes and None (a tombstone) go as they are, text as UTF-8, anything else as JSON. A `Record` brings its own
        key, headers and time. A topic that is not there is made, with one partition.
        """
        self.topic(topic)
        rows = [_sent(each if isinstance(each, Record) else _made(each, key, headers), partition) for each in values]
        return [(at, offset) for at, offset in self._ask("produce", topic, rows)]

    def records(self, topic: str) -> list[Stored]:
        """Return all that the topic holds, partition by partition."""
        return [_stored(row) for row in self._ask("records", topic)]

    def committed(self, group: str, *topics: str) -> dict[tuple[str, int], int]:
        """Return what a group has committed: {(topic, partition): offset}."""
        return {(topic, partition): offset for topic, partition, offset in self._ask("committed", group, topics)}

    def down(self) -> None:
        """Close all connections and refuse new ones, until `up`."""
        self._ask("down")

    def up(self) -> None:
        self._ask("up")

    def rtt(self, milliseconds: int) -> None:
        """Let each answer wait so long; 0: no more."""
        self._ask("delay", milliseconds)

    def errors(self, api: str, codes: Sequence[int | str]) -> None:
        """Answer the next requests of this kind with these errors, one each; [] takes back those that were not used.

        errors("OffsetCommit", ["NOT_COORDINATOR"] * 2), or their numbers.
        """
        self._known(api)
        self._ask("errors", api, list(codes))

    def requests(self, api: str) -> int:
        """Return how many requests of this kind have come so far, also those of the test's own questions."""
        self._known(api)
        return int(self._ask("requests", api))

    def ends(self, *topics: str) -> dict[tuple[str, int], int]:
        """Return the offset after the last record of each partition."""
        return {(topic, partition): offset for topic, partition, offset in self._ask("ends", topics)}

    def letters(self, topic: str, group: str) -> list[dict[str, Any]]:
        """Return the dead letters of a topic as `supervisor kafka dlq show --json` has them."""
        found: list[dict[str, Any]] = self._ask("letters", topic, group)
        return found

    def _known(self, api: str) -> None:
        from supervisor.testing_kafka.cluster import APIS

        if api not in APIS:
            raise ValueError(f"there is no request {api!r}: one of {', '.join(APIS)}")

    def _ask(self, *question: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            with self._lock:
                self._process.stdin.write(json.dumps(question) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
        except (BrokenPipeError, ValueError):
            raise MockFailed("the broker is closed, or its process has ended") from None
        if not line:
            raise MockFailed(f"the broker's process ended, see stderr (exit code {self._process.wait()})")
        answer = json.loads(line)
        if "error" in answer:
            raise MockFailed(answer["error"])
        return answer["ok"]


def _made(value: Any, key: str | bytes | None, headers: Headers) -> Record[Any]:
    listed = headers.items() if isinstance(headers, Mapping) else headers
    named = tuple((str(name), _bytes(each)) for name, each in listed)
    return Record(value=value, key=_bytes(key), headers=named)


def _sent(record: Record[Any], partition: int | None) -> list[Any]:
    when = None if record.timestamp is None else int(record.timestamp.timestamp() * 1000)
    named = [[name, _text(each)] for name, each in record.headers]
    return [_text(encode(record.value)), _text(_bytes(record.key)), named, partition, when]


def _stored(row: Mapping[str, Any]) -> Stored:
    headers = tuple((name, _raw(value)) for name, value in row["headers"])
    return Stored(**{**row, "value": _raw(row["value"]), "key": _raw(row["key"]), "headers": headers})


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("latin-1")


def _raw(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")
