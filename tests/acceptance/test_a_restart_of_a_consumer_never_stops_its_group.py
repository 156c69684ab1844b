"""A restart of a consumer of several members replaces one after the other: the others handle the records meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.eventually import eventually
from support.flow import STORE, WITHIN, Flow
from support.project import FAST
from support.real_kafka import RealKafka
from support.supervisor_process import Supervisor

pytestmark = pytest.mark.kafka

CALM = FAST.replace('grace_period = "2s"', 'grace_period = "30s"')
SLOWLY = STORE.replace("    note(", "    time.sleep(0.001)\n    note(")
NAMES = ("reader:1", "reader:2", "reader:3")


class SixPartitions(Flow):
    partitions = 6

    def wait_all_three(self) -> None:
        eventually(lambda: len(self.wait_stored(self.send(12))) == len(NAMES), WITHIN, what="all three handle records")


def joined(supervisor: Supervisor) -> int:
    """How many members run and say that they have their part of the group."""
    code, found = supervisor.request("GET", "/v1/children/reader")
    assert code == 200
    return sum(each["state"] == "running" and each["facts"].get("joined", False) for each in found["members"])


@contextmanager
def load(flow: Flow) -> Iterator[None]:
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            flow.send(48)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Watch:
    """Looks all the time at how many members take part."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor, self._over = supervisor, threading.Event()
        self.counts: set[int] = set()
        self.notes: set[str] = set()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.counts.add(joined(self._supervisor))
            notes = self._supervisor.status()["supervisor"]["notes"]
            self.notes |= {note for note in notes if "one after the other" in note}


@pytest.mark.parametrize("how", ["restart", "reload"])
def test_never_fewer_than_all_but_one_handle_and_nothing_is_lost_or_comes_twice(
    tmp_path: Path, real_kafka: RealKafka, how: str
) -> None:
    flow = SixPartitions(tmp_path, real_kafka, SLOWLY, head=CALM, processes="3")
    with flow.made.supervisor() as supervisor:
        flow.wait_all_three()
        eventually(lambda: joined(supervisor) == len(NAMES), WITHIN, what="all have joined")
        before = [supervisor.pid_of(name) for name in NAMES]
        with load(flow), Watch(supervisor) as watch:
            if how == "restart":
                told = supervisor.cli("restart", "reader")
                assert (told.returncode, "one after the other" in told.stdout) == (0, True), told
            else:
                flow.change(supervisor, batch_size="7")
            eventually(
                lambda: "the last one of its group" in supervisor.stderr, WITHIN, every=0.05, what="all replaced"
            )
        after = [supervisor.pid_of(name) for name in NAMES]
        assert not set(before) & set(after)
        assert watch.counts == {2, 3}
        assert watch.notes
        assert set(flow.wait_all_stored().values()) == {1}
        assert supervisor.stop(60) == 0, supervisor.stderr[-3000:]
    assert flow.committed() == flow.ends()
    assert "restarting one after the other: reader:1, reader:2, reader:3" in supervisor.stderr


def test_now_is_all_of_them_at_once(tmp_path: Path, real_kafka: RealKafka) -> None:
    flow = SixPartitions(tmp_path, real_kafka, head=CALM, processes="3")
    with flow.made.supervisor() as supervisor:
        flow.wait_all_three()
        before = {name: supervisor.pid_of(name) for name in NAMES}
        told = supervisor.cli("restart", "reader", "--now")
        assert (told.returncode, told.stdout) == (0, "reader: restarting\n")
        for name in NAMES:
            supervisor.wait_child(name, lambda child, name=name: child["ready"] and child["pid"] != before[name])  # type: ignore[misc]
        assert "one after the other" not in supervisor.stderr
        assert supervisor.stop(60) == 0
