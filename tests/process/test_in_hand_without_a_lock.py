"""Two threads, no broker: the main one takes records without the lock, and the owner waits for the one in hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from supervisor.child.kafka.handover import Handover
from support.eventually import eventually

A, B = ("t", 0), ("t", 1)


class Waiting(threading.Thread):
    """The owner thread, which takes partition A away."""

    def __init__(self, handover: Handover, timeout: float) -> None:
        super().__init__()
        self._handover, self._timeout = handover, timeout
        self.idle: bool | None = None

    def run(self) -> None:
        self._handover.withdraw({A})
        self.idle = self._handover.wait_until_idle({A}, self._timeout)


@contextmanager
def taken_away(handover: Handover, timeout: float = 30.0) -> Iterator[Waiting]:
    thread = Waiting(handover, timeout)
    thread.start()
    yield thread
    thread.join(30)


@pytest.fixture
def woken() -> list[float]:
    return []


@pytest.fixture
def handover(woken: list[float]) -> Handover:
    made = Handover(lambda: woken.append(time.monotonic()))
    made.assign({A, B}, {A: (0, []), B: (0, [])}, {A: 0, B: 0})
    return made


def test_the_record_in_hand_is_waited_for_and_the_next_of_another_partition_is_not(
    handover: Handover, woken: list[float]
) -> None:
    a, b = handover.lease(A), handover.lease(B)
    assert a is not None
    assert b is not None
    a.prefix.take(0)
    handover.now = a
    with taken_away(handover) as owner:
        eventually(lambda: woken and not a.live, within=10.0, what="the main thread is told to look up")
        assert owner.is_alive()
        handover.finish_one(a, 0)  # done, and to be committed
        handover.now = b
        handover.pass_on()
        eventually(lambda: not owner.is_alive(), within=10.0)
        assert owner.idle is True
    assert handover.committable({A}) == {A: 1}


def test_a_record_that_takes_longer_than_it_may_is_not_waited_for(handover: Handover) -> None:
    handover.now = handover.lease(A)
    with taken_away(handover, timeout=0.05) as owner:
        eventually(lambda: not owner.is_alive(), within=10.0)
    assert owner.idle is False


def test_what_is_handled_of_a_partition_that_is_another_lease_by_now_is_not_noted(handover: Handover) -> None:
    noted: list[tuple[tuple[str, int], int]] = []
    handover.progressed = lambda place, offset: noted.append((place, offset))
    old = handover.lease(A)
    assert old is not None
    old.prefix.take(0)
    old.prefix.take(1)
    handover.finish_one(old, 0)
    handover.forget({A})
    handover.assign({A})
    handover.finish_one(old, 1)
    assert noted == [(A, 1)]
    assert handover.moved() == {B: 0}, "of A nothing is known by its new lease"
