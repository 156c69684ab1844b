"""A dead member is put out of its group: its records wait for no session timeout, 45 s with Kafka's defaults."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.eventually import eventually
from support.flow import WITHIN, Flow, kill
from support.real_kafka import RealKafka, running
from support.supervisor_process import Supervisor

pytestmark = pytest.mark.kafka

FAR_LESS = 20.0  # seconds than 45; about 0.3 where nothing else runs


@pytest.fixture(scope="module")
def default_kafka() -> Iterator[RealKafka]:
    with running(default_timeouts=True) as server:
        yield server


def flows_without(flow: Flow, dead: int) -> float:
    """Return after how many seconds every partition was handled by others."""
    began = time.monotonic()
    assert dead not in flow.wait_stored(flow.send())
    return time.monotonic() - began


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_of_a_consumer_of_one_process(tmp_path: Path, default_kafka: RealKafka, protocol: str) -> None:
    long = ', "session.timeout.ms" = 45000' if protocol == "classic" else ""
    flow = Flow(tmp_path, default_kafka, properties=f'{{ "group.protocol" = "{protocol}"{long} }}')
    with flow.made.supervisor() as supervisor:
        flow.wait_stored(flow.send())
        for _ in range(2):
            assert flows_without(flow, kill(supervisor, "reader")) < FAR_LESS
        flow.wait_all_stored()
        assert supervisor.child("reader")["last_exit"]["not_evicted"] is None


def test_of_one_of_two_members(tmp_path: Path, default_kafka: RealKafka) -> None:
    flow = Flow(tmp_path, default_kafka, processes="2")
    with flow.made.supervisor() as supervisor:
        flow.wait_shared(2)
        for name in ("reader:1", "reader:2", "reader:2"):
            assert flows_without(flow, kill(supervisor, name)) < FAR_LESS
        flow.wait_all_stored()


def test_of_a_member_that_had_no_partition_yet(tmp_path: Path, default_kafka: RealKafka) -> None:
    """The other one gives partitions up at its next heartbeat, within 5 s; who dies before is a member all the same."""
    flow = Flow(tmp_path, default_kafka)
    with flow.made.supervisor() as supervisor:
        flow.wait_stored(flow.send())
        flow.change(supervisor, processes="2")
        wait_member(supervisor, "reader:2")
        kill(supervisor, "reader:2")
        supervisor.wait_child("reader:2", lambda child: child["starts"] == 2 and child["ready"], within=WITHIN)
        assert ": evicted" in supervisor.stderr
        flow.wait_shared(2, within=FAR_LESS)
        flow.wait_all_stored()


def wait_member(supervisor: Supervisor, name: str) -> None:
    def known() -> object:
        return supervisor.request("GET", f"/v1/children/{name}")[1].get("facts", {}).get("member")

    eventually(known, within=WITHIN, what=f"{name} is a member")


def test_where_it_cannot_be_put_out_the_consumer_goes_on_and_says_so(tmp_path: Path, real_kafka: RealKafka) -> None:
    """A property that the evicting client does not know; on the broker whose session timeout is 3 s."""
    flow = Flow(tmp_path, real_kafka, properties='{ "ssl.ca.pem" = "not used without TLS" }')
    with flow.made.supervisor() as supervisor:
        flow.wait_stored(flow.send())
        dead = kill(supervisor, "reader")
        numbers = flow.send()
        child = supervisor.wait_child("reader", lambda child: child["ready"] and child["pid"] != dead, within=WITHIN)
        said = f'still in group "{flow.group}" (cannot: ssl.ca.pem has no counterpart'
        assert said in child["last_exit"]["not_evicted"]
        assert said in supervisor.cli("explain", "reader").stdout
        assert dead not in flow.wait_stored(numbers)
        supervisor.wait_child("reader", lambda child: child["waiting"] is None, within=WITHIN)
        flow.wait_all_stored()
