"""RUNS ANYWHERE, for the tests of a project: a consumer of config.toml, run over records as in production.

A real supervisor with this one consumer: forked processes, restarts, retries, dead letters, delivery; only the broker
is the test's, and the waits between attempts are cut short.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from supervisor import client
from supervisor.child.kafka.witness import EVENTS, VERBOSE
from supervisor.core import names
from supervisor.core.config.load import load
from supervisor.core.errors import SupervisorError
from supervisor.core.kafka import retry_topics
from supervisor.core.kafka.address import Address, to_text
from supervisor.core.kafka.record import Record
from supervisor.core.paths import Paths
from supervisor.core.spec import ConsumerSettings, Plan, plan_to_json
from supervisor.testing_kafka.mock import KafkaMock, MockFailed
from supervisor.testing_kafka.outcome import Outcome, Place, outcome, told

COMMAND = [sys.executable, "-P", "-m", "supervisor.testing_kafka.begin"]
LOOK = 0.05  # seconds
STILL = 2.0  # held partitions, and nothing moves for so long: that is how it stands
SHORT = 0.1  # seconds between attempts
COUNTS = 1.5  # for the last numbers
END = 20.0  # for the supervisor to stop
_SECURITY = ("security.", "sasl.", "ssl.", "enable.ssl", "enable.sasl")


class NotDone(AssertionError):
    """Not all records were done in time; says how it stands."""


def run_consumer(
    kafka: KafkaMock,
    name: str,
    records: Sequence[Any],
    *,
    config: str | os.PathLike[str] = "config.toml",
    within: float = 30.0,
) -> Outcome:
    """Write `records` into the consumer's first topic, run it until all is done, stop it, and return what came of it.

    A `Record` with a topic goes into that one. Whatever auto_offset_reset says, all of them are read.
    Raises NotDone when they are not done `within` seconds; ConfigError, with all that is wrong.
    """
    plan = _plan(name, config)
    settings = plan.children[0].settings
    assert isinstance(settings, ConsumerSettings)
    _write(kafka, settings, records)
    with tempfile.TemporaryDirectory(prefix="fw-") as state:
        return _Run(kafka, plan, settings, Path(state)).until_done(within)


def _plan(name: str, config: str | os.PathLike[str]) -> Plan:
    path = os.path.abspath(config)
    text = Path(path).read_bytes()
    plan = load(text, file=path, env=os.environ, project_dir=os.path.dirname(path)).plan
    consumers = [child for child in plan.children if isinstance(child.settings, ConsumerSettings)]
    if not (chosen := [child for child in consumers if child.group == name]):
        raise ValueError(names.unknown("consumer", name, sorted({child.group for child in consumers})))
    quick: dict[str, Any] = {"backoff_base": SHORT, "backoff_max": SHORT, "backoff_jitter": 0.0}
    made = tuple(
        replace(child, enabled=True, policy=replace(child.policy, **quick), settings=_own(child.settings))
        for child in chosen
        if isinstance(child.settings, ConsumerSettings)
    )
    quiet = replace(plan.supervisor, watch=False, alert_url=None, alert_command=(), log_format="json", log_level="info")
    return replace(plan, children=made, supervisor=quiet)


def _own(settings: ConsumerSettings) -> ConsumerSettings:
    properties = {key: value for key, value in settings.properties.items() if not key.startswith(_SECURITY)}
    return replace(
        settings,
        bootstrap_servers="embedded",  # found by its address file, with a name of its own: so the progress page counts
        properties=properties,
        auto_offset_reset="earliest",
        retry_base=min(settings.retry_base, SHORT),
        retry_max=min(settings.retry_max, SHORT),
        start_retry_base=SHORT,
        start_retry_max=2 * SHORT,
    )


def _write(kafka: KafkaMock, settings: ConsumerSettings, records: Sequence[Any]) -> None:
    letters = [settings.dead_letter_topic] if settings.dead_letter_topic else []
    for topic in (*_topics(settings), *letters):
        kafka.topic(topic)
    for record in records:  # one by one: so they stand in this order
        own = record.topic if isinstance(record, Record) else ""
        kafka.produce(own or settings.topics[0], record)


def _topics(settings: ConsumerSettings) -> tuple[str, ...]:
    return (*settings.topics, *retry_topics.names(settings.topics, settings.retry_topics))


class _Run:
    def __init__(self, kafka: KafkaMock, plan: Plan, settings: ConsumerSettings, state: Path) -> None:
        self._kafka, self._settings, self._state = kafka, settings, state
        self._plan = replace(plan, supervisor=replace(plan.supervisor, state_dir=str(state)))
        self._topics = _topics(settings)
        self._events = state / "events.jsonl"
        self._events.touch()
        address = Address(kafka.bootstrap_servers, kafka.incarnation, os.getpid())
        Path(Paths(str(state)).broker).write_text(to_text(address))
        self._positions = kafka.committed(settings.group_id, *self._topics)
        self._ends = kafka.ends(*self._topics)
        self._seen = 0  # bytes of the events
        self._data: list[dict[str, Any]] = []
        self._starts = 0
        self._joined = False
        self._of_last = 0  # records since the last process began
        self._status: Mapping[str, Any] = {}

    def until_done(self, within: float) -> Outcome:
        with self._running() as process:
            held = self._wait(process, time.monotonic() + within)
        self._read()
        return self._outcome(held)

    @contextmanager
    def _running(self) -> Iterator[subprocess.Popen[bytes]]:
        env = {**os.environ, EVENTS: str(self._events), VERBOSE: "1"}
        with open(self._state / "stderr", "wb") as err:
            process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=err,
                env=env,
                cwd=self._plan.supervisor.project_dir,
            )
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(plan_to_json(self._plan)).encode())
            process.stdin.close()
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait(self, process: subprocess.Popen[bytes], end: float) -> dict[Place, str]:
        """Return the partitions that stand still, none when all is done."""
        moved = time.monotonic()
        while time.monotonic() < end:
            before = self._seen
            self._read()
            left = self._left()
            if self._joined and not left:
                self._hear_counts()
                return {}
            moved = time.monotonic() if self._seen != before else moved
            self._status = self._child()
            held = self._held(left)
            if held and len(held) == len(left) and time.monotonic() - moved > STILL:
                return held
            if process.poll() is not None:
                raise NotDone(f"the supervisor ended with {process.returncode}:\n{self._log()}")
            if any(child.get("state") == "fatal" for child in self._children()):
                raise NotDone(f"{self._standing()}\n{self._log()}")
            time.sleep(LOOK)
        left_over = ", ".join(f"{topic}:{at} from {offset} on" for (topic, at), offset in sorted(self._left().items()))
        raise NotDone(f"not done in time: {left_over}; {self._standing()}\n{self._log()}")

    def _hear_counts(self) -> None:
        """They come with the next beat of each process."""
        end = time.monotonic() + COUNTS
        while time.monotonic() < end:
            self._status = self._child()
            if sum(int(child.get("records") or 0) for child in self._children()) >= self._of_last:
                return
            time.sleep(LOOK)

    def _left(self) -> dict[Place, int]:
        """Return where it is, of those whose end it has not reached."""
        try:
            self._ends = self._kafka.ends(*self._topics)
        except MockFailed:
            pass  # it is down for a moment: another thread of the test wants that
        at = self._positions
        return {place: at.get(place, 0) for place, end in self._ends.items() if at.get(place, 0) < end}

    def _read(self) -> None:
        """Take the new lines of the consumer's events, whole ones only."""
        with open(self._events, "rb") as file:
            file.seek(self._seen)
            text = file.read()
        text = text[: text.rfind(b"\n") + 1]
        self._seen += len(text)
        for event in map(json.loads, text.splitlines()):
            self._starts += event["name"] == "startup_complete"
            self._joined |= event["name"] == "partitions_assigned"
            if event["name"] == "startup_complete":
                self._of_last = 0
            if event["name"] == "record_data":
                self._data.append(event)
                self._of_last += 1
            for part in event["partitions"] if event["name"] == "records_consumed" else ():
                self._positions[part["topic"], part["partition"]] = part["maxOffset"] + 1

    def _child(self) -> Mapping[str, Any]:
        try:
            code, found = client.request(client.sockets(str(self._state)), "GET", "/v1/status", timeout=5.0)
        except SupervisorError:
            return self._status
        return found if code == 200 else self._status

    def _children(self) -> list[Mapping[str, Any]]:
        return list(self._status.get("children", ()))

    def _held(self, left: Mapping[Place, int]) -> dict[Place, str]:
        return {
            (part["topic"], part["partition"]): str(child.get("note") or child.get("waiting") or "")
            for child in self._children()
            for part in child.get("partitions") or ()
            if part.get("paused") and (part["topic"], part["partition"]) in left
        }

    def _standing(self) -> str:
        said = [f"{each.get('name')} is {each.get('state')}" for each in self._children()]
        why = [str(each.get("waiting") or each.get("note") or each.get("reason") or "") for each in self._children()]
        return "; ".join(f"{one}: {two}" if two else one for one, two in zip(said, why, strict=True)) or "it never ran"

    def _outcome(self, held: dict[Place, str]) -> Outcome:
        return outcome(
            self._kafka,
            self._settings,
            events=self._data,
            children=self._children(),
            lines=self._lines(),
            held=held,
            starts=self._starts,
        )

    def _lines(self) -> list[dict[str, Any]]:
        """The consumer's own log, and what it printed."""
        texts = [line for file in sorted(self._state.glob("logs/*.log")) for line in file.read_text().splitlines()]
        return [_line(text) for text in texts]

    def _log(self) -> str:
        said = (self._state / "stderr").read_text(errors="replace").splitlines()
        return "\n".join([*(told(_line(text)) for text in said[-20:]), *(told(line) for line in self._lines()[-20:])])


def _line(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"text": text}
