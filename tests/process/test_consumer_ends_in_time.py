"""SIGTERM ends a consumer within the time to drain and to close, whatever it waits for at that moment."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from support.eventually import eventually
from support.kafka import WITHIN, Consumer, EmbeddedBroker, Kafka, consumer_spec

DRAIN, CLOSE = 1.0, 1.0
LOADED = 10.0  # seconds more on a loaded machine; the client's own timeouts are a minute
Frozen = Callable[[], AbstractContextManager[None]]


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.kafka)])
def freezable(request: pytest.FixtureRequest) -> tuple[Kafka, Frozen]:
    """A broker, and how it is stopped by SIGSTOP: connections stay open, and nobody answers."""
    if request.param == "real":
        server = request.getfixturevalue("own_kafka")
        return server.kafka(), server.frozen
    embedded: EmbeddedBroker = request.getfixturevalue("embedded")

    @contextmanager
    def frozen() -> Iterator[None]:
        embedded.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            embedded.signal(signal.SIGCONT)

    return embedded.kafka(), frozen


def ended(member: Consumer, *codes: int) -> float:
    began = time.monotonic()
    member.terminate()
    assert member.exit_code(WITHIN) in (codes or (75,))
    return time.monotonic() - began


@pytest.mark.parametrize("moment", ["at rest", "a record in hand", "in a rebalance"])
def test_with_a_frozen_broker(freezable: tuple[Kafka, Frozen], tmp_path: Path, moment: str) -> None:
    broker, frozen = freezable
    topic = broker.topic(2)
    code = "def store(record):\n    tell(record.value)\n    record.value == 'long' and until('never')\n"
    spec = consumer_spec(broker, topic, group_id=f"g-{topic}", drain_timeout=DRAIN, close_timeout=CLOSE)
    broker.produce(topic, [1], partition=0)
    with Consumer(tmp_path, spec, code) as member:
        member.wait_got(1)
        if moment == "a record in hand":
            broker.produce(topic, ["long"], partition=0)
            member.wait_got(2)
        with frozen():
            if moment == "in a rebalance":
                member.signal(signal.SIGSTOP)
                member.signal(signal.SIGCONT)
            took = ended(member)
            assert member.bye is not None
            assert "without a commit" in member.bye.reason or "they come again" in member.bye.reason
    assert took < DRAIN + CLOSE + 0.5 + LOADED


def test_while_a_frozen_broker_is_asked_where_a_new_partition_begins(
    freezable: tuple[Kafka, Frozen], tmp_path: Path
) -> None:
    broker, frozen = freezable
    topic = broker.topic(2)
    spec = consumer_spec(broker, topic, drain_timeout=DRAIN, close_timeout=CLOSE)
    code = """
from supervisor.child.kafka.starts import Starts
inner = Starts.assign
def assign(self, consumer, partitions):
    (HERE / "asking").touch()
    until("frozen")
    return inner(self, consumer, partitions)
Starts.assign = assign
"""
    with Consumer(tmp_path, spec, code) as member:
        eventually((tmp_path / "asking").exists, within=WITHIN)
        with frozen():
            (tmp_path / "frozen").touch()
            # who hears the SIGTERM before it asks has nothing to ask, and nothing was handled
            assert ended(member, 0, 75) < DRAIN + CLOSE + 0.5 + LOADED


def test_while_the_handler_is_in_a_librarys_code_that_hears_no_signal(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    code = """
import hashlib
def store(record):
    tell(record.value)
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2**31 - 1)
"""
    broker.produce(topic, [1])
    with Consumer(tmp_path, consumer_spec(broker, topic, drain_timeout=DRAIN, close_timeout=CLOSE), code) as member:
        member.wait_got(1)
        assert ended(member) < DRAIN + CLOSE + 0.5 + LOADED
        assert member.bye is not None
        assert "the records in hand took longer than 1 s" in member.bye.reason


def test_a_signal_for_a_process_that_the_handler_forked_is_not_the_consumers(broker: Kafka, tmp_path: Path) -> None:
    topic = broker.topic()
    code = """
import multiprocessing, signal
def sleeps():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(3))
    (HERE / "there").touch()
    time.sleep(60)
def store(record):
    child = multiprocessing.get_context("fork").Process(target=sleeps)
    child.start()
    until("there")
    child.terminate()
    child.join()
    tell([record.value, child.exitcode])
    (HERE / "there").unlink()
"""
    broker.produce(topic, [1, 2])
    with Consumer(tmp_path, consumer_spec(broker, topic), code) as member:
        assert member.wait_got(2) == [[1, 3], [2, 3]]
        assert member.stop() == 0
