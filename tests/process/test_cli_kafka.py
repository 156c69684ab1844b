"""`supervisor kafka`: lag, pause and resume, against the embedded broker of a real supervisor."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

from supervisor.child.broker.address import read
from support.eventually import eventually
from support.kafka import WITHIN, Kafka
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor

CONFIG = (
    FAST
    + """
    [consumers.one]
    handler = "mine:one"
    topics = ["one"]
    group_id = "one"
    auto_offset_reset = "earliest"

    [tasks.tick]
    run = "mine:tick"
    every = "1h"
    """
)
CODE = NOTE + '\n\ndef one(record):\n    note("one", record.value)\n\n\ndef tick():\n    pass\n'


def kafka(supervisor: Supervisor) -> Kafka:
    address: Any = eventually(lambda: read(str(supervisor.state / "broker.json")), within=WITHIN)
    return Kafka(address.bootstrap_servers, True, lambda partitions: "")


def assigned(child: dict[str, Any]) -> bool:
    return len(child.get("partitions") or []) == 4


def rows(supervisor: Supervisor) -> list[dict[str, Any]]:
    found = supervisor.cli("kafka", "lag", "one", "--json")
    assert found.returncode == 0, found.stderr
    parts: list[dict[str, Any]] = json.loads(found.stdout)["partitions"]
    return parts


def test_a_paused_consumer_keeps_its_partitions_and_handles_nothing_until_it_is_resumed(
    project: Callable[..., Project],
) -> None:
    mine = project(CONFIG, CODE)
    with mine.supervisor() as supervisor:
        first = supervisor.wait_child("one", assigned, WITHIN)
        told = supervisor.cli("kafka", "pause", "one")
        assert told.returncode == 0, told.stderr
        assert told.stdout == "one: paused; it goes on with: supervisor kafka resume one --config " + (
            f"{supervisor.config}\n"
        )
        assert supervisor.child("one")["held"], "said when it is done"
        kafka(supervisor).produce("one", ["a", "b"], partition=2)
        behind = eventually(lambda: [row for row in rows(supervisor) if row["lag"]], within=WITHIN)
        assert [(row["partition"], row["lag"], row["end"], row["paused"]) for row in behind] == [(2, 2, 2, True)]
        assert mine.lines("one") == []
        assert "paused by hand: supervisor kafka resume one" in supervisor.cli("kafka", "lag").stdout
        assert supervisor.cli("kafka", "resume", "one").stdout == "one: resumed\n"
        eventually(lambda: mine.lines("one") == ["a", "b"], within=WITHIN)
        eventually(lambda: all(row["lag"] == 0 and not row["paused"] for row in rows(supervisor)), within=WITHIN)
        assert supervisor.pid_of("one") == first["pid"]


def test_a_process_that_does_not_pause_is_named(project: Callable[..., Project]) -> None:
    with project(CONFIG, CODE).supervisor() as supervisor:
        first = supervisor.wait_child("one", assigned, WITHIN)
        os.kill(first["pid"], signal.SIGSTOP)
        told = supervisor.cli("kafka", "pause", "one")
        os.kill(first["pid"], signal.SIGCONT)
        assert (told.returncode, told.stdout) == (1, "")
        assert "one: to be paused, and not done after 5 s by one: supervisor explain one" in told.stderr
        supervisor.wait_child("one", lambda child: child.get("held"), WITHIN)


def test_a_consumer_without_its_broker_is_paused_at_once(project: Callable[..., Project]) -> None:
    away = '\n    [kafka]\n    bootstrap_servers = "127.0.0.1:1"\n'
    with project(CONFIG + away, CODE).supervisor() as supervisor:
        supervisor.wait_child("one", lambda child: child.get("waiting"), WITHIN)
        told = supervisor.cli("kafka", "pause", "one")
        assert (told.returncode, told.stderr) == (0, "")


def test_a_new_process_of_a_paused_consumer_is_paused_too(project: Callable[..., Project]) -> None:
    mine = project(CONFIG, CODE)
    with mine.supervisor() as supervisor:
        first = supervisor.wait_child("one", assigned, WITHIN)
        assert supervisor.cli("kafka", "pause", "one").returncode == 0
        supervisor.wait_child("one", lambda child: child.get("held"), WITHIN)  # before that a new record may be taken
        kafka(supervisor).produce("one", ["a"], partition=0)
        assert supervisor.cli("restart", "one").returncode == 0
        supervisor.wait_child("one", lambda child: child["pid"] not in (None, first["pid"]) and child["ready"], WITHIN)
        supervisor.wait_child("one", lambda child: assigned(child) and child["held"], WITHIN)
        eventually(lambda: rows(supervisor)[0]["lag"] == 1, within=WITHIN)
        assert mine.lines("one") == []
        assert supervisor.cli("kafka", "resume", "one").returncode == 0
        eventually(lambda: mine.lines("one") == ["a"], within=WITHIN)


def test_who_is_no_consumer_and_who_does_not_run_is_told_in_one_line(project: Callable[..., Project]) -> None:
    mine = project(CONFIG, CODE)
    at_rest = mine.run("kafka", "lag", "one")
    assert (at_rest.returncode, at_rest.stdout) == (3, "")
    assert at_rest.stderr == "error: the embedded broker lives only as long as the supervisor: supervisor start\n"
    assert mine.run("kafka", "lag", "two").stderr.startswith("error: there is no consumer 'two'; ")
    assert "there is no command 'kafka lga'. Did you mean 'lag'?" in mine.run("kafka", "lga").stderr
    with mine.supervisor() as supervisor:
        supervisor.wait_ready()
        for action, said in (("lag", "only consumers have a lag"), ("pause", "only consumers are paused")):
            told = supervisor.cli("kafka", action, "tick")
            assert told.returncode != 0
            assert len(told.stderr.splitlines()) == 1
            assert said in told.stderr
        assert supervisor.cli("kafka", "pause", "two").returncode == 4


def test_without_a_supervisor_the_broker_is_asked(project: Callable[..., Project]) -> None:
    mine = project(CONFIG, CODE)
    with mine.supervisor() as supervisor:
        supervisor.wait_child("one", assigned, WITHIN)
        broker = kafka(supervisor)
        broker.produce("one", ["a", "b", "c"], partition=1)
        eventually(lambda: broker.committed("one", "one", 1) == 3, within=WITHIN)
        other = project(f'[kafka]\nbootstrap_servers = "{broker.bootstrap}"\n' + CONFIG, CODE)
        found = other.run("kafka", "lag", "one", "--json")
        assert found.returncode == 0, found.stderr
        parts = json.loads(found.stdout)["partitions"]
        assert [(row["position"], row["end"], row["lag"]) for row in parts if row["partition"] == 1] == [(3, 3, 0)]
        assert [row["position"] for row in parts if row["partition"] != 1] == [None] * 3
