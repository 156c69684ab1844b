"""`status` and `explain` name what keeps records from flowing, and what to type or to grant, by real runs."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from support.flow import STORE, WITHIN, Flow
from support.project import FAST, Project
from support.secured_kafka import SecuredKafka
from support.supervisor_process import Supervisor

EMBEDDED = (
    FAST
    + """
[consumers.reader]
handler = "mine:store"
topics = ["t"]
group_id = "g"
auto_offset_reset = "earliest"
"""
)
STOPS = STORE + '    if record.value == 1:\n        raise StopPartition("look at this one")\n'


def both(supervisor: Supervisor) -> tuple[str, str]:
    """What people read, each on one line."""
    found = [supervisor.cli(*command).stdout for command in (("status",), ("explain", "reader"))]
    status, explained = (" ".join(each.split()) for each in found)
    return status, explained


def waiting(supervisor: Supervisor, text: str) -> None:
    supervisor.wait_child("reader", lambda child: text in (child.get("waiting") or ""), WITHIN)


def test_paused_by_hand(tmp_path: Path) -> None:
    made = Project(tmp_path, EMBEDDED, STORE)
    with made.supervisor() as supervisor:
        supervisor.wait_child("reader", lambda child: child.get("partitions"), WITHIN)
        assert supervisor.cli("kafka", "pause", "reader").returncode == 0
        status, explained = both(supervisor)
        assert "supervisor kafka resume reader" in status
        assert "paused by" in status
        assert "Paused by hand by" in explained
        assert "try supervisor kafka resume reader" in explained
        assert supervisor.cli("kafka", "resume", "reader").returncode == 0
        assert "paused by" not in both(supervisor)[0]


def test_a_handler_that_stops_its_partition(tmp_path: Path) -> None:
    made = Project(tmp_path, EMBEDDED, "from supervisor import StopPartition\n" + STOPS)
    with made.supervisor() as supervisor:
        supervisor.wait_child("reader", lambda child: child.get("partitions"), WITHIN)
        assert supervisor.cli("kafka", "produce", "t", "1").returncode == 0
        supervisor.wait_child("reader", lambda child: any(each["paused"] for each in child["partitions"]), WITHIN)
        status, explained = both(supervisor)
        assert "StopPartition: look at this one" in status
        assert "until it is restarted" in explained
        assert "supervisor restart reader" in explained


def test_no_broker(tmp_path: Path) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    config = EMBEDDED.replace("[consumers", f'[kafka]\nbootstrap_servers = "127.0.0.1:{port}"\n[consumers')
    with Project(tmp_path, config, STORE).supervisor() as supervisor:
        waiting(supervisor, "refused")
        status, explained = both(supervisor)
        assert "waiting" in status
        assert f"127.0.0.1:{port}" in explained
        assert "goes on by itself when the broker is back" in explained


class Refused(Flow):
    """A consumer of the user app."""

    def __init__(self, folder: Path, server: SecuredKafka, password: str | None = None, **more: str) -> None:
        pairs = {**server.as_user("app", password), **more}
        written = ", ".join(f'"{key}" = "{value}"' for key, value in pairs.items())
        super().__init__(folder, server, properties=f"{{ {written} }}")


@pytest.mark.kafka
def test_a_wrong_password_and_a_broker_that_speaks_no_tls(tmp_path: Path, secured_kafka: SecuredKafka) -> None:
    with Refused(tmp_path / "a", secured_kafka, "wrong").made.supervisor() as supervisor:
        waiting(supervisor, "Authentication failed")
        status, explained = both(supervisor)
        assert "invalid credentials" in explained
        assert "Authentication failed" in status or "waiting" in status
        assert "refuses user, password or mechanism" in explained
        assert "sasl.password" in explained
    with Refused(tmp_path / "b", secured_kafka, **{"security.protocol": "SASL_SSL"}).made.supervisor() as supervisor:
        waiting(supervisor, "SSL")
        explained = both(supervisor)[1]
        assert "TLS with it fails: it speaks none at this port" in explained
        assert "security.protocol in [kafka] properties" in explained


@pytest.mark.kafka
@pytest.mark.parametrize("wrong", ["nobody here trusts it", "it is for another name"])
def test_a_certificate_that_does_not_hold(tmp_path: Path, secured_kafka: SecuredKafka, wrong: str) -> None:
    host, pairs = "localhost", secured_kafka.over_tls()
    if wrong == "nobody here trusts it":
        host, _ = "127.0.0.1", pairs.pop("ssl.ca.location")
    written = ", ".join(f'"{key}" = "{value}"' for key, value in pairs.items())
    config = EMBEDDED.replace(
        "[consumers",
        f'[kafka]\nbootstrap_servers = "{host}:{secured_kafka.tls_port}"\nproperties = {{ {written} }}\n[consumers',
    )
    with Project(tmp_path, config, STORE).supervisor() as supervisor:
        waiting(supervisor, "certificate")
        status, explained = both(supervisor)
        assert "certificate" in status
        assert "not trusted here, out of date, or for another name" in explained
        assert "ssl.ca.location in [kafka] properties" in explained
        assert "-noout -issuer -enddate -ext subjectAltName" in explained


@pytest.mark.kafka
def test_each_missing_right_with_what_to_grant(tmp_path: Path, secured_kafka: SecuredKafka) -> None:
    flow = Refused(tmp_path, secured_kafka)
    with flow.made.supervisor() as supervisor:
        waiting(supervisor, "no right to read topic")
        status, explained = both(supervisor)
        assert "no right to read" in status
        assert f"--operation Describe --topic {flow.topic}" in explained
        secured_kafka.grant("topic", flow.topic)
        waiting(supervisor, "no right to read as group")
        assert f"--operation Read --group {flow.group}" in both(supervisor)[1]
        secured_kafka.grant("group", flow.group)
        flow.wait_stored(flow.send())
        supervisor.wait_child("reader", lambda child: not child.get("waiting"), WITHIN)
