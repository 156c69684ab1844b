"""`supervisor kafka verify`: the lines of Apache Kafka's verifiable consumer, from our process, judged as theirs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.eventually import eventually
from support.kafka import WITHIN, Kafka
from support.project import NOTE, Project
from support.real_kafka import RealKafka
from support.supervisor_process import DIES_WITH_PYTEST

CONFIG = """
    [kafka]
    bootstrap_servers = "{bootstrap}"

    [consumers.one]
    handler = "mine:one"
    topics = ["{topic}"]
    group_id = "{group}"
    auto_offset_reset = "earliest"
    retries = 0
    retry_backoff = {{ base = "50ms", max = "100ms" }}
    """
CODE = (
    NOTE
    + """

def one(record):
    if record.value == "bad" and not os.path.exists(os.path.join(HERE, "mended")):
        note("mended")
        raise ValueError("once")
    note("one", record.value)
"""
)
Event = dict[str, Any]


class Verify:
    """The command in the foreground, and what it has printed so far."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.out = folder / f"out-{len(list(folder.glob('out-*')))}"
        self.err = self.out.with_suffix(".err")
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                [*DIES_WITH_PYTEST, *command],
                cwd=folder,
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def events(self) -> list[Event]:
        """All lines, whole ones only; what is no JSON is a failure."""
        text = self.out.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event["name"] == name]

    def wait(self, name: str, count: int = 1) -> list[Event]:
        return eventually(lambda: found if len(found := self.named(name)) >= count else None, within=WITHIN)

    def wait_consumed(self, count: int) -> None:
        eventually(lambda: sum(event["count"] for event in self.named("records_consumed")) >= count, within=WITHIN)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(WITHIN)


@contextmanager
def verify(command: list[str], folder: Path) -> Iterator[Verify]:
    running = Verify(command, folder)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            os.killpg(running.process.pid, signal.SIGKILL)
        running.process.wait()


def ours(mine: Project, *more: str) -> list[str]:
    return [sys.executable, "-m", "supervisor", "kafka", "verify", "one", *more, "--config", str(mine.config)]


def judged(events: list[Event]) -> dict[tuple[str, int], int]:
    """Hold what Kafka's own judge holds; return the positions. Its rules, in our words."""
    assigned: set[tuple[str, int]] = set()
    position: dict[tuple[str, int], int] = {}
    assert events[0]["name"] == "startup_complete"
    for event in events:
        parts = {(part["topic"], part["partition"]): part for part in event.get("partitions", event.get("offsets", ()))}
        match event["name"]:
            case "partitions_assigned":
                assigned |= parts.keys()
            case "partitions_revoked":
                assert parts.keys() <= assigned, event
                assigned -= parts.keys()
                position = {place: offset for place, offset in position.items() if place in assigned}
            case "records_consumed":
                assert event["count"] == sum(part["count"] for part in parts.values())
                for place, part in parts.items():
                    assert place in assigned, event
                    assert position.get(place, part["minOffset"]) == part["minOffset"], event
                    position[place] = part["maxOffset"] + 1
            case "offsets_committed" if event["success"]:
                for place, part in parts.items():
                    assert place in assigned, event
                    assert place not in position or part["offset"] <= position[place], event
    return position


@pytest.fixture
def mine(project: Callable[..., Project], broker: Kafka) -> tuple[Project, Kafka, str]:
    topic = broker.topic(2)
    config = CONFIG.format(bootstrap=broker.bootstrap, topic=topic, group=f"group-of-{topic}")
    return project(config, CODE), broker, topic


def test_its_lines_are_those_of_a_verifiable_consumer_and_sigterm_ends_it_in_order(
    mine: tuple[Project, Kafka, str],
) -> None:
    project, kafka, topic = mine
    kafka.produce(topic, [f"a{n}" for n in range(5)], partition=0)
    kafka.produce(topic, ["b0", "bad", "b2"], partition=1)
    with verify(ours(project), project.folder) as running:
        running.wait_consumed(8)
        kafka.produce(topic, ["late"], partition=1)
        running.wait_consumed(9)
        assert running.end() == 0, running.err.read_text()
    events = running.events
    assert judged(events) == {}
    ends = [event["name"] for event in events if not event["name"].startswith("offsets")][-3:]
    assert ends == ["shutdown_requested", "partitions_revoked", "shutdown_complete"]
    consumed = [part for event in running.named("records_consumed") for part in event["partitions"]]
    assert sum(part["count"] for part in consumed if part["partition"] == 1) == 4
    assert sorted(project.lines("one")) == ["a0", "a1", "a2", "a3", "a4", "b0", "b2", "bad", "late"]
    last = {(part["topic"], part["partition"]): part["offset"] for e in events for part in e.get("offsets", ())}
    assert last == {(topic, 0): 5, (topic, 1): 4}
    assert [kafka.committed(f"group-of-{topic}", topic, p) for p in (0, 1)] == [5, 4]


def test_what_is_committed_before_it_is_handled_is_told_behind_it(
    project: Callable[..., Project], broker: Kafka
) -> None:
    topic = broker.topic(1)
    config = CONFIG.format(bootstrap=broker.bootstrap, topic=topic, group=f"group-of-{topic}")
    made = project(config + 'delivery = "at_most_once"\n', CODE)
    broker.produce(topic, ["a", "b", "c"])
    with verify(ours(made), made.folder) as running:
        running.wait_consumed(3)
        running.wait("offsets_committed")
        assert "partitions_revoked" not in {event["name"] for event in running.events}
        assert running.end() == 0, running.err.read_text()
    judged(running.events)
    assert broker.committed(f"group-of-{topic}", topic, 0) == 3


def test_max_messages_are_not_exceeded_and_verbose_tells_each(mine: tuple[Project, Kafka, str]) -> None:
    project, kafka, topic = mine
    kafka.produce(topic, [f"a{n}" for n in range(9)], partition=0, key="k")
    with verify(ours(project, "--max-messages", "4", "--verbose"), project.folder) as running:
        assert running.process.wait(WITHIN) == 0, running.err.read_text()
    judged(running.events)
    assert [(event["offset"], event["key"], event["value"]) for event in running.named("record_data")] == [
        (n, "k", f'"a{n}"') for n in range(4)
    ]
    assert sum(event["count"] for event in running.named("records_consumed")) == 4
    assert project.lines("one") == ["a0", "a1", "a2", "a3"]
    assert kafka.committed(f"group-of-{topic}", topic, 0) == 4


@pytest.mark.kafka
def test_each_event_has_the_fields_that_apache_kafkas_own_tool_prints(
    project: Callable[..., Project], real_kafka: RealKafka
) -> None:
    kafka = real_kafka.kafka()
    topic = kafka.topic(2)
    kafka.produce(topic, ["x", "y"], partition=0)
    mine = project(CONFIG.format(bootstrap=kafka.bootstrap, topic=topic, group="ours"), CODE)
    java = [*real_kafka._java("-Xmx96m"), "org.apache.kafka.tools.VerifiableConsumer", "--verbose"]
    theirs = ["--bootstrap-server", kafka.bootstrap, "--topic", topic, "--group-id", "theirs"]
    found = []
    for command in ([*java, *theirs, "--group-protocol", "consumer"], ours(mine, "--verbose")):
        with verify(command, mine.folder) as running:
            running.wait_consumed(2)
            running.wait("offsets_committed")
            running.end()
        judged(running.events)
        found.append({event["name"]: shape(event) for event in running.events})
    assert found[0] == found[1]
    assert len(found[0]) == 8


@pytest.mark.kafka
def test_beside_apache_kafkas_own_tool_both_keep_the_rules(
    project: Callable[..., Project], real_kafka: RealKafka
) -> None:
    """Two members of one group: what one gives up the other gets, and nothing is consumed but once."""
    kafka = real_kafka.kafka()
    topic = kafka.topic(2)
    mine = project(CONFIG.format(bootstrap=kafka.bootstrap, topic=topic, group=f"of-{topic}"), CODE)
    java = [*real_kafka._java("-Xmx96m"), "org.apache.kafka.tools.VerifiableConsumer", "--group-protocol", "consumer"]
    theirs = ["--bootstrap-server", kafka.bootstrap, "--topic", topic, "--group-id", f"of-{topic}"]
    with verify([*java, *theirs], mine.folder) as first, verify(ours(mine), mine.folder) as second:
        for running in (first, second):
            eventually(lambda running=running: held(running.events) == 1, within=WITHIN)
        for partition in (0, 1):
            kafka.produce(topic, ["x"] * 5, partition=partition)
            kafka.produce(topic, ["x"] * 5, partition=partition)
        first.wait_consumed(10)
        second.wait_consumed(10)
        second.end()
        eventually(lambda: held(first.events) == 2, within=WITHIN)
        kafka.produce(topic, ["y"] * 2, partition=0)
        kafka.produce(topic, ["y"] * 2, partition=1)
        first.wait_consumed(14)
        first.end()
    for running in (first, second):
        judged(running.events)
    assert sum(event["count"] for event in [*first.named("records_consumed"), *second.named("records_consumed")]) == 24


def held(events: list[Event]) -> int:
    """How many partitions it has."""
    count = {"partitions_assigned": 1, "partitions_revoked": -1}
    return sum(count.get(event["name"], 0) * len(event.get("partitions", ())) for event in events)


def shape(value: Any) -> Any:
    """The keys and kinds of an event, of its lists those of the first entry."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__ if value is not None else "str"


def test_without_a_broker_or_a_name_it_says_so_in_one_line(project: Callable[..., Project]) -> None:
    mine = project(CONFIG.format(bootstrap="embedded", topic="t", group="g"), CODE)
    told = mine.run("kafka", "verify", "one")
    assert (told.returncode, told.stdout) == (3, "")
    assert told.stderr == "error: the embedded broker lives only as long as the supervisor: supervisor start\n"
    mine.configure(CONFIG.format(bootstrap="127.0.0.1:1", topic="t", group="g"))
    with verify(ours(mine), mine.folder) as running:
        running.wait("startup_complete")
        assert running.end(signal.SIGINT) == 0
    names = [event["name"] for event in running.events]
    assert names == ["startup_complete", "shutdown_requested", "shutdown_complete"]
    assert mine.run("kafka", "verify", "two").stderr.startswith("error: there is no consumer 'two'; ")
