"""Consumers and supervisor are killed while records flow; the handler's file must hold every record, seldom twice."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

import pytest

from support.eventually import eventually
from support.kafka import Kafka
from support.project import FAST, NOTE, Project
from support.real_kafka import RealKafka
from support.supervisor_process import Supervisor

RECORDS = 400
KILLS = 4
CONFIG = """
[kafka]
bootstrap_servers = "{bootstrap}"

[consumers.reader]
handler = "mine:store"
topics = ["{topic}"]
group_id = "readers-of-{topic}"
auto_offset_reset = "earliest"
dead_letter_topic = "{topic}.dlq"
processes = {processes}
"""
CODE = (
    NOTE
    + """
def store(record):
    time.sleep(0.005)
    note("stored", record.value["n"])
"""
)


def produce(bootstrap: str, topic: str) -> None:
    Kafka(bootstrap, True, lambda partitions: topic).produce(topic, [{"n": n} for n in range(RECORDS)])


def embedded_address(supervisor: Supervisor) -> str:
    supervisor.wait_ready()
    return str(json.loads((supervisor.state / "broker.json").read_text())["bootstrap_servers"])


def stored(made: Project) -> set[int]:
    return {int(line) for line in made.lines("stored")}


def killed_while_reading(made: Project, victim: Callable[[], int]) -> None:
    """Kill a process each time that some further records were stored."""
    for _ in range(KILLS):
        seen = len(made.lines("stored"))
        eventually(lambda seen=seen: len(made.lines("stored")) >= min(seen + 20, RECORDS), within=60)
        os.kill(victim(), signal.SIGKILL)


def judge(made: Project, deaths: int) -> None:
    """Of each process that died one record may have been in hand: done, and not noted on the page."""
    eventually(lambda: len(stored(made)) == RECORDS, within=90, every=0.1, what="every record is stored")
    assert sorted(stored(made)) == list(range(RECORDS))
    twice = len(made.lines("stored")) - RECORDS
    assert twice <= deaths


def test_nothing_is_lost_when_the_consumer_is_killed_on_the_embedded_broker(project: Callable[..., Project]) -> None:
    made = project(config=FAST + CONFIG.format(bootstrap="embedded", topic="records", processes=1), code=CODE)
    with made.supervisor() as supervisor:
        produce(embedded_address(supervisor), "records")
        killed_while_reading(made, lambda: supervisor.pid_of("reader"))
        judge(made, KILLS)
        assert supervisor.child("reader")["starts"] == KILLS + 1


@pytest.mark.kafka
def test_nothing_is_lost_when_consumers_and_the_supervisor_are_killed_on_a_real_kafka(
    project: Callable[..., Project], real_kafka: RealKafka
) -> None:
    bootstrap, topic = real_kafka.bootstrap, real_kafka.create(4)
    made = project(config=FAST + CONFIG.format(bootstrap=bootstrap, topic=topic, processes=2), code=CODE)
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        produce(bootstrap, topic)
        killed_while_reading(made, lambda: supervisor.pid_of("reader:1"))
        supervisor.kill()
        supervisor.start()
        judge(made, KILLS + 2)
        assert supervisor.stop() in (0, 1)
