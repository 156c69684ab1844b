"""The embedded broker and its consumers: when it is replaced, switched off, or gets a topic more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervisor.child.broker.address import read
from support.eventually import eventually
from support.kafka import WITHIN, Kafka
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor

CODE = (
    NOTE + '\n\ndef one(record):\n    note("one", record.value)\n\n\ndef two(record):\n    note("two", record.value)\n'
)


def consumer(name: str) -> str:
    return f"""
        [consumers.{name}]
        handler = "mine:{name}"
        topics = ["{name}"]
        group_id = "{name}"
        auto_offset_reset = "earliest"
        """


def kafka(supervisor: Supervisor) -> Kafka:
    address: Any = eventually(lambda: read(str(supervisor.state / "broker.json")), within=WITHIN)
    return Kafka(address.bootstrap_servers, True, lambda partitions: "")


def reads(child: dict[str, Any]) -> bool:
    return len(child.get("partitions") or []) == 4


def test_a_consumer_more_leaves_the_broker_its_records_and_the_other_consumer_alone(
    project: Callable[..., Project],
) -> None:
    mine = project(FAST + consumer("one"), CODE)
    with mine.supervisor() as supervisor:
        first = supervisor.wait_child("one", reads, WITHIN)
        broker = supervisor.pid_of("broker")
        kafka(supervisor).produce("one", ["a"])
        eventually(lambda: mine.lines("one") == ["a"], within=WITHIN)
        mine.configure(FAST + consumer("one") + consumer("two") + 'dead_letter_topic = "two.dlq"\n')
        plan = supervisor.request("POST", "/v1/reload", {})[1]["plan"]
        assert [(change["change"], change["name"]) for change in plan] == [("update", "broker"), ("add", "two")]
        supervisor.wait_child("two", reads, WITHIN)
        kafka(supervisor).produce("two", ["b"])
        eventually(lambda: mine.lines("two") == ["b"], within=WITHIN)
        assert supervisor.pid_of("broker") == broker
        assert supervisor.pid_of("one") == first["pid"]
        assert sum(kafka(supervisor).end("one", partition) for partition in range(4)) == 1
        assert kafka(supervisor).partitions("two.dlq") == 1


def test_a_broker_that_is_replaced_gets_no_consumer_called_stuck(project: Callable[..., Project]) -> None:
    mine = project(FAST + consumer("one"), CODE)
    with mine.supervisor() as supervisor:
        first = supervisor.wait_child("one", reads, WITHIN)
        kafka(supervisor).produce("one", ["a"])
        eventually(lambda: mine.lines("one") == ["a"], within=WITHIN)
        assert supervisor.request("POST", "/v1/children/broker/restart", {})[0] == 200
        again = supervisor.wait_child("one", lambda child: child["pid"] != first["pid"] and reads(child), WITHIN)
        assert again["last_exit"]["reason"] == "recycle: the embedded broker restarted"
        assert again["restarts"] == 0


def test_a_broker_that_is_disabled_is_named_with_the_command_that_brings_it_back(
    project: Callable[..., Project],
) -> None:
    mine = project(FAST + consumer("one"), CODE)
    with mine.supervisor() as supervisor:
        supervisor.wait_child("one", reads, WITHIN)
        assert supervisor.request("POST", "/v1/children/broker/disable", {})[0] == 200
        for told in (1, 2):  # while its clients run, and from the start on
            supervisor.wait_child("one", lambda child: child["waiting"] == "the embedded broker is disabled", WITHIN)
            said = supervisor.cli("explain", "one").stdout
            assert said.startswith("one is waiting: the embedded broker is disabled."), said
            assert "  try         supervisor enable broker\n" in said
            if told == 1:
                assert supervisor.stop() == 0
                supervisor.start()
        assert supervisor.cli("enable", "broker").returncode == 0
        supervisor.wait_child("one", lambda child: reads(child) and not child["waiting"], WITHIN)
