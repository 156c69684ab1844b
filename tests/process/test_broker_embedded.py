"""The embedded broker says where it is, to its owner only, for as long as it is there."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

from supervisor.child.broker.address import publish, read, withdraw
from supervisor.core.kafka.address import Address
from support.eventually import eventually
from support.kafka import WITHIN, EmbeddedBroker


def test_it_publishes_its_address_and_takes_it_back(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path, {"events": 3}) as server:
        kafka = server.kafka()
        address = read(str(server.address_file))
        assert address is not None
        assert address.pid == server.pid
        assert stat.S_IMODE(server.address_file.stat().st_mode) == 0o600
        kafka.produce("events", [b"x"], partition=2)
        assert kafka.end("events", 2) == 1
        server.terminate()
        assert server.exit_code() == 0
        assert not server.address_file.exists()


def test_it_says_loudly_that_it_is_a_demo(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path, {}) as server:
        server.wait_facts(lambda facts: facts.get("demo"))
        doing = server.wait_doing("serving")
        assert doing.budget is None


def test_it_listens_on_this_machine_only(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path, {}) as server:
        host, _, port = server.kafka().bootstrap.partition(":")
        assert host == "127.0.0.1"
        for other in {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}:
            if str(other).startswith("127."):
                continue
            with socket.socket() as probe:
                probe.settimeout(5)
                assert probe.connect_ex((str(other), int(port))) != 0


def test_a_drain_ends_it_and_each_start_is_another_incarnation(tmp_path: Path) -> None:
    seen = set()
    for _ in range(2):
        with EmbeddedBroker(tmp_path, {}) as server:
            server.kafka()
            address = read(str(server.address_file))
            assert address is not None
            seen.add(address.incarnation)
            server.order("drain")
            assert server.exit_code() == 0
    assert len(seen) == 2


def test_a_topic_is_made_by_order_while_it_serves_and_one_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path, {"events": 3}) as server:
        kafka = server.kafka()
        kafka.produce("events", [b"x"], partition=2)
        for name, partitions in (("events", 1), ("more", 2)):
            server.order("topic", name=name, partitions=partitions)
        eventually(lambda: kafka.partitions("more") == 2, within=WITHIN)
        assert kafka.partitions("events") == 3
        assert kafka.end("events", 2) == 1


def test_the_address_of_another_incarnation_is_not_taken_away(tmp_path: Path) -> None:
    path = str(tmp_path / "broker.json")
    old, new = Address("127.0.0.1:1", "a", 1), Address("127.0.0.1:2", "b", 2)
    publish(path, old)
    publish(path, new)
    withdraw(path, old)
    assert read(path) == new
    withdraw(path, new)
    assert read(path) is None
