"""A partition is stuck, on a real Kafka: found, understood, mended, and what failed is sent again, by our commands.

What they say is held against what kcat and Kafka's own command-line tool say of the same topics and groups.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from support.eventually import eventually
from support.kafka import WITHIN, Kafka
from support.project import FAST, NOTE, Project
from support.real_kafka import JARS, RealKafka
from support.supervisor_process import Supervisor

pytestmark = pytest.mark.kafka

CONFIG = """
[kafka]
bootstrap_servers = "{bootstrap}"

[consumers.payments]
handler = "mine:pay"
topics = ["{topic}"]
group_id = "payers-of-{topic}"
auto_offset_reset = "earliest"
format = "text"
retries = 0
dead_letter_topic = "{letters}"
"""
CODE = (
    NOTE
    + """
from supervisor.core.kafka.verdicts import StopPartition

RATES = {"EUR": 1}

def pay(record):
    account, currency = record.value.split()
    if currency not in RATES:
        raise StopPartition("no rate for " + currency)
    if account == "?" and not os.path.exists(os.path.join(HERE, "accounts-mended")):
        raise LookupError("no account in " + record.value)
    note("paid", record.value)
"""
)


class Payments:
    """The consumer of the story, and the others' tools on its topics."""

    def __init__(self, server: RealKafka, project: Callable[..., Project]) -> None:
        self.server, self.kafka = server, server.kafka()
        self.topic, self.letters = server.create(2), server.create(1)
        self.group = f"payers-of-{self.topic}"
        text = CONFIG.format(bootstrap=server.bootstrap, topic=self.topic, letters=self.letters)
        self.project = project(config=FAST + text, code=CODE)

    def send(self, *values: str, partition: int) -> None:
        self.kafka.produce(self.topic, [value.encode() for value in values], partition=partition)

    def paid(self) -> list[str]:
        return self.project.lines("paid")

    def wait_paid(self, *values: str) -> None:
        eventually(lambda: set(values) <= set(self.paid()), within=WITHIN, what=f"{values} are paid")

    def kcat(self, *arguments: str, stdin: str = "") -> str:
        command = ["kcat", "-q", "-b", self.server.bootstrap, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def described(self) -> dict[int, dict[str, str]]:
        """Return what Kafka's own tool says of the group, by partition: its columns by name."""
        tool = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
        command = ["java", "-Xmx128m", "-cp", f"{JARS}/*", tool, "--bootstrap-server", self.server.bootstrap]
        command += ["--describe", "--group", self.group]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        lines = [line.split() for line in done.stdout.splitlines() if self.group in line or line.startswith("GROUP")]
        head = next(line for line in lines if line[0] == "GROUP")
        rows = [dict(zip(head, line, strict=False)) for line in lines if line[0] == self.group]
        return {int(row["PARTITION"]): row for row in rows}


@pytest.fixture
def payments(real_kafka: RealKafka, project: Callable[..., Project]) -> Payments:
    return Payments(real_kafka, project)


def said(supervisor: Supervisor, *arguments: str) -> str:
    done = supervisor.cli(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(supervisor: Supervisor) -> dict[int, dict[str, Any]]:
    """Return the lag as a script gets it, by partition."""
    found = json.loads(said(supervisor, "kafka", "lag", "payments", "--json"))["partitions"]
    return {row["partition"]: row for row in found if row["partition"] is not None}


def is_through(supervisor: Supervisor, partition: int) -> bool:
    return rows(supervisor).get(partition, {}).get("lag") == 0


def test_from_a_stuck_partition_to_the_last_letter_replayed(payments: Payments) -> None:
    payments.send("a EUR", "? EUR", "b EUR", partition=0)
    payments.send("c EUR", "d GBP", "e EUR", partition=1)
    with payments.project.supervisor() as supervisor:
        supervisor.wait_ready()
        payments.wait_paid("a EUR", "b EUR", "c EUR")

        # it is seen: in the table of all children, and which partition it is
        eventually(lambda: "no rate for GBP" in said(supervisor, "status"), within=WITHIN)
        stuck = eventually(lambda: (row := rows(supervisor)[1]) and row["paused"] and row["lag"] == 2 and row, WITHIN)
        assert (stuck["position"], stuck["end"]) == (1, 3)
        assert "no rate for GBP" in stuck["why"]
        eventually(lambda: is_through(supervisor, 0), within=WITHIN, what="the other partition flows")

        # why, and which record
        told = said(supervisor, "explain", "payments")
        assert f"{payments.topic}:1:1: StopPartition: no rate for GBP" in " ".join(told.split())
        assert "d GBP" in said(supervisor, "kafka", "tail", payments.topic)

        # it is mended: the code, and the process that runs it
        payments.project.write("mine.py", CODE.replace('{"EUR": 1}', '{"EUR": 1, "GBP": 2}'))
        said(supervisor, "restart", "payments")
        payments.wait_paid("d GBP", "e EUR")
        eventually(lambda: is_through(supervisor, 1), within=WITHIN, what="nothing lags")

        # what was given up meanwhile is found, understood and sent again
        (letter,) = json.loads(said(supervisor, "kafka", "dlq", "ls", "payments", "--json"))["letters"]
        assert (letter["exception"], letter["message"]) == ("builtins.LookupError", "no account in ? EUR")
        assert "mine.py" in said(supervisor, "kafka", "dlq", "show", "payments")
        assert "? EUR" not in payments.paid()
        payments.project.write("accounts-mended", "yes")
        again = ("kafka", "dlq", "replay", "payments", "--where", "exception=LookupError")
        assert supervisor.cli(*again, "--dry-run").stderr == "1 letter would go back\n"
        assert said(supervisor, *again).startswith("1 letter went back")
        payments.wait_paid("? EUR")
        assert sorted(payments.paid()) == sorted(["a EUR", "b EUR", "c EUR", "d GBP", "e EUR", "? EUR"])


def test_kcat_reads_what_we_wrote_and_we_handle_what_kcat_wrote(payments: Payments) -> None:
    with payments.project.supervisor() as supervisor:
        supervisor.wait_ready()
        payments.kcat("-P", "-t", payments.topic, "-K", ":", "-H", "trace=1", "-p", "0", stdin="k:? EUR\nk:f EUR\n")
        payments.wait_paid("f EUR")
        header = ("--header", "from=us")
        said(supervisor, "kafka", "produce", payments.topic, "g EUR", "--key", "mine", *header)
        payments.wait_paid("g EUR")
        ours = payments.kcat("-C", "-t", payments.topic, "-e", "-f", "%k|%s|%h\n").splitlines()
        assert "mine|g EUR|from=us" in ours
        eventually(lambda: payments.kafka.end(payments.letters) == 1, within=WITHIN)
        key, value, headers = payments.kcat("-C", "-t", payments.letters, "-e", "-f", "%k|%s|%h").split("|")
        assert (key, value) == ("k", "? EUR")
        assert "trace=1" in headers
        assert "kafka_dlt-exception-message=no account in ? EUR" in headers
        assert f"kafka_dlt-original-topic={payments.topic}" in headers


def test_kafkas_own_tool_sees_what_our_commands_say_and_do(payments: Payments) -> None:
    payments.send("a EUR", "b EUR", partition=0)
    payments.send("c EUR", partition=1)
    with payments.project.supervisor() as supervisor:
        supervisor.wait_ready()
        payments.wait_paid("a EUR", "b EUR", "c EUR")
        eventually(lambda: _committed(payments) == [2, 1], within=WITHIN)
        before = payments.described()
        assert {part: row["LAG"] for part, row in before.items()} == {0: "0", 1: "0"}
        assert all(row["CONSUMER-ID"] != "-" for row in before.values()), "a member has them"

        said(supervisor, "kafka", "pause", "payments")
        supervisor.wait_child("payments", lambda child: child.get("held"))  # before that the record may be taken
        payments.send("h EUR", partition=1)
        eventually(lambda: rows(supervisor)[1]["lag"] == 1, within=WITHIN)
        paused = payments.described()
        assert (paused[1]["LAG"], paused[1]["CONSUMER-ID"]) == ("1", before[1]["CONSUMER-ID"]), "it stays in its group"
        assert "h EUR" not in payments.paid()
        said(supervisor, "kafka", "resume", "payments")
        payments.wait_paid("h EUR")

        refused = supervisor.cli("kafka", "reset-offsets", "payments", "--to", "earliest")
        assert refused.returncode == 1
        said(supervisor, "disable", "payments")
        supervisor.wait_child("payments", lambda child: child["pid"] is None)
        said(supervisor, "kafka", "reset-offsets", "payments", "--to", "0", "--partition", "0")
        assert {part: row["LAG"] for part, row in payments.described().items()} == {0: "2", 1: "0"}
        said(supervisor, "enable", "payments")
        eventually(lambda: payments.paid().count("a EUR") == 2, within=WITHIN)
        assert payments.paid().count("c EUR") == 1


def _committed(payments: Payments) -> list[int]:
    kafka: Kafka = payments.kafka
    return [kafka.committed(payments.group, payments.topic, partition) for partition in (0, 1)]
