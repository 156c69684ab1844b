"""RUNS IN PYTEST: a consumer under a real supervisor, on a broker that can be harmed: embedded, or a real Kafka."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from faults.catalogue import fault
from faults.scene import HEAD, Scene
from supervisor.testing_kafka import KafkaMock
from support.eventually import eventually
from support.flow import STORE, WITHIN, Flow
from support.kafka import Kafka
from support.real_kafka import RealKafka
from support.supervisor_process import Supervisor

QUICK = {
    "start_backoff": '{ base = "100ms", max = "500ms" }',
    "retry_backoff": '{ base = "50ms", max = "200ms" }',
    "retries": "1",
}
CLASSIC = '{ "group.protocol" = "classic", "session.timeout.ms" = 6000, "heartbeat.interval.ms" = 500 }'
Make = Callable[[Scene, Any], None]


class Server(Protocol):
    """What both kinds of brokers can."""

    bootstrap: str

    def kafka(self) -> Kafka: ...
    def create(self, partitions: int) -> str: ...
    def down(self) -> None: ...
    def up(self) -> None: ...


class Embedded:
    """librdkafka's mock cluster with its errors, as the tests of users have it."""

    def __init__(self, mock: KafkaMock) -> None:
        self.mock, self.bootstrap = mock, mock.bootstrap_servers
        self.down, self.up = mock.down, mock.up
        self._numbers = itertools.count(1)

    def kafka(self) -> Kafka:
        return Kafka(self.bootstrap, True, self.create)

    def create(self, partitions: int) -> str:
        return self.mock.topic(f"topic-{next(self._numbers)}", partitions)


class Real:
    """The broker of these tests alone."""

    def __init__(self, server: RealKafka) -> None:
        self.server, self.bootstrap = server, server.bootstrap
        self.kafka, self.create, self.up = server.kafka, server.create, server.start

    def down(self) -> None:
        self.server.signal(signal.SIGKILL)
        self.server.stop()


class Line(Flow):
    partitions = 1


class Pair(Flow):
    partitions = 2


@contextmanager
def embedded() -> Iterator[Embedded]:
    with KafkaMock() as mock:
        yield Embedded(mock)


def on_embedded(id: str, what: str, *, injected: str, expected: str) -> Callable[[Make], Make]:
    def register(make: Make) -> Make:
        @fault(id, what, injected=injected, expected=expected)
        def _(scene: Scene) -> None:
            with embedded() as server:
                make(scene, server)

        return make

    return register


def on_real(id: str, what: str, *, injected: str, expected: str) -> Callable[[Make], Make]:
    def register(make: Make) -> Make:
        @fault(f"{id}-real", what, injected=f"{injected}, a real Apache Kafka", expected=expected, mark="kafka")
        def _(scene: Scene) -> None:
            make(scene, Real(scene.fixture("own_kafka")))

        return make

    return register


def on_both(id: str, what: str, *, injected: str, expected: str) -> Callable[[Make], Make]:
    def register(make: Make) -> Make:
        on_embedded(id, what, injected=injected, expected=expected)(make)
        return on_real(id, what, injected=injected, expected=expected)(make)

    return register


def line(scene: Scene, server: Any, code: str = STORE, *, head: str = HEAD, **settings: str) -> Flow:
    """One consumer of a topic with one partition."""
    return Line(scene.fixture("tmp_path") / "line", server, code, head=head, **{**QUICK, **settings})


def pair(scene: Scene, server: Any, code: str = STORE, *, head: str = HEAD, **settings: str) -> Flow:
    """Two partitions."""
    return Pair(scene.fixture("tmp_path") / "pair", server, code, head=head, **{**QUICK, **settings})


def wait_waiting(supervisor: Supervisor, text: str) -> None:
    """It says what it waits for, and runs."""
    child = supervisor.wait_child("reader", lambda child: text in (child["waiting"] or ""), within=WITHIN)
    assert child["state"] == "running"


def wait_committed(flow: Flow) -> None:
    eventually(lambda: flow.committed() == flow.ends(), within=WITHIN, every=0.3, what="all is committed")


def untouched(supervisor: Supervisor) -> None:
    """Its first process is still there."""
    child = supervisor.child("reader")
    assert (child["starts"], child["restarts"], child["state"]) == (1, 0, "running"), child


def once(flow: Flow) -> None:
    """Nothing lost, nothing twice."""
    found = flow.wait_all_stored()
    assert set(found.values()) == {1}, found
