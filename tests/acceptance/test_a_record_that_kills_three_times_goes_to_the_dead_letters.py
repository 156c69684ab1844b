"""A record that ends its process three times is dead-lettered with the reason, and its partition goes on."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from support.eventually import eventually
from support.kafka import Kafka
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor

CONFIG = (
    FAST
    + """
[consumers.reader]
handler = "mine:store"
topics = ["records"]
group_id = "readers"
auto_offset_reset = "earliest"
dead_letter_topic = "records.dlq"
"""
)
# "start" waits until the test has produced all, so that good and bad records come in one batch
DEADLY = (
    NOTE
    + """
def handle(value):
    if value["n"] == "segfault":
        note("tried")
        os.kill(os.getpid(), signal.SIGSEGV)
    note("stored", value["n"])
"""
)
SINGLE = DEADLY + "\ndef store(record):\n    handle(record.value)\n"
BATCH = DEADLY + "\ndef store(records):\n    note('calls', len(records))\n    [handle(one.value) for one in records]\n"


def broker_of(supervisor: Supervisor) -> Kafka:
    supervisor.wait_ready()
    address = json.loads((supervisor.state / "broker.json").read_text())["bootstrap_servers"]
    return Kafka(str(address), True, lambda partitions: "")


def dead_letters(broker: Kafka) -> list[dict[str, str]]:
    message = broker.read("records.dlq", 1)[0]
    headers = {key: value.decode(errors="replace") for key, value in message.headers()}
    return [headers | {"value": message.value().decode()}]


@pytest.mark.parametrize("code", [SINGLE, BATCH], ids=["record by record", "in batches"])
def test_it_is_dead_lettered_with_the_reason_and_its_neighbours_are_stored(
    project: Callable[..., Project], code: str
) -> None:
    made = project(config=CONFIG, code=code)
    with made.supervisor() as supervisor:
        broker = broker_of(supervisor)
        values = [*range(5), "segfault", *range(5, 10)]
        broker.produce("records", [{"n": n} for n in values], partition=0)
        eventually(lambda: set(made.lines("stored")) >= {str(n) for n in range(10)}, within=120, every=0.1)
        [letter] = dead_letters(broker)
        assert letter["value"] == '{"n": "segfault"}'
        assert any("killed its process 3 times" in text and "SIGSEGV" in text for text in letter.values())
        assert letter["x-forkwarden-attempts"] == "3"
        assert len(made.lines("tried")) == 3
        reader = supervisor.wait_child("reader", lambda child: child["state"] == "running")
        assert reader["starts"] == 4, "three deaths, and the fourth process goes on"
        supervisor.wait_child("reader", lambda child: child.get("outcomes") == {"dead_letters": 1})
        assert "outcomes    1 dead letters" in supervisor.cli("explain", "reader").stdout


def test_among_lanes_it_is_found_by_handling_one_record_at_a_time_after_a_death(
    project: Callable[..., Project],
) -> None:
    """The first death only says which records were in hand; so it may take one death more."""
    made = project(config=CONFIG + 'concurrency = 4\nordering = "key"\n', code=SINGLE)
    with made.supervisor() as supervisor:
        broker = broker_of(supervisor)
        for n in [*range(20), "segfault", *range(20, 40)]:
            broker.produce("records", [{"n": n}], partition=0, key=str(n).encode())
        eventually(lambda: set(made.lines("stored")) >= {str(n) for n in range(40)}, within=120, every=0.1)
        [letter] = dead_letters(broker)
        assert letter["value"] == '{"n": "segfault"}'
        assert any("killed its process 3 times" in text for text in letter.values())
        assert len(made.lines("tried")) in (3, 4)
