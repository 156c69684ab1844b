"""What a consumer has to say of itself while it runs is in `status` and `explain`, and ends with its process."""

from __future__ import annotations

from collections.abc import Callable

from supervisor.child.broker.address import read
from support.eventually import eventually
from support.kafka import Kafka
from support.project import FAST, Project

CONFIG = (
    FAST
    + """
[consumers.reader]
handler = "mine:store"
topics = ["t"]
group_id = "g"
auto_offset_reset = "earliest"
retries = 0
"""
)


def test_a_paused_partition_is_in_status_and_explain(project: Callable[..., Project]) -> None:
    made = project(CONFIG, "def store(record): raise ValueError('never')\n")
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        address = eventually(lambda: read(str(made.state / "broker.json")))
        assert address is not None
        Kafka(address.bootstrap_servers, True, str).produce("t", [1], partition=0)
        said = "t:0:0: ValueError: never"
        child = supervisor.wait_child("reader", lambda child: said in child.get("note", ""), within=60)
        assert "the partition is paused" in child["note"]
        assert said in supervisor.cli("status").stdout
        assert f"note        {said}" in supervisor.cli("explain", "reader").stdout
        made.write("mine.py", "def store(record): pass\n")
        assert supervisor.cli("restart", "reader").returncode == 0
        supervisor.wait_child("reader", lambda child: child["starts"] == 2 and child["ready"], within=60)
        supervisor.wait_child("reader", lambda child: "note" not in child, within=60)
