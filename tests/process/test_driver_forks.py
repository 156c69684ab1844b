"""The driver forks last in a turn, one after another: also then no child has two processes."""

from __future__ import annotations

import os
import select
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.events import State
from supervisor.core.lifecycle.fleet import Fleet
from supervisor.core.spec import ChildSpec, Policy, TaskSettings
from supervisor.parent.driver import Driver
from supervisor.parent.poller import Lane, Poller
from supervisor.parent.process import Process, fork
from supervisor.parent.runs import Runs
from supervisor.parent.strangers import Strangers
from support.alone import alone


class Around:
    """Forks processes that only sleep; everything else that a driver asks is not asked here."""

    def __init__(self, refused: str = "", stillborn: str = "") -> None:
        self.forked: list[Process] = []
        self._refused = refused
        self._stillborn = stillborn

    def fork(self, name: str) -> Process:
        if name == self._refused:
            raise OSError(11, "refused")
        self.forked.append(fork(name, lambda ends: sleeps()))
        return self.forked[-1]

    def born(self, name: str, process: Process) -> None:
        if name == self._stillborn:
            raise OSError(28, "No space left on device")

    def kill_all(self) -> None:
        for process in self.forked:
            process.kill()

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


def sleeps() -> None:
    import signal

    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    signal.pause()


class FullPoller(Poller):
    """As when the kernel has no room for another watch: so many it takes."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def register(self, fd: int, lane: Lane, mask: int = select.EPOLLIN) -> None:
        if not self.room:
            raise OSError(28, "No space left on device")
        self.room -= 1
        super().register(fd, lane, mask)


def started(around: Around, names: list[str], poller: Poller | None = None) -> Driver:
    poller = poller or Poller()
    settings = TaskSettings(run="a:b", every=60.0)
    specs = [ChildSpec(name=n, group=n, kind="task", enabled=True, policy=Policy(), settings=settings) for n in names]
    driver = Driver(Fleet(lambda: 0.5), poller, around, Strangers(poller, set, lambda pid: False))  # type: ignore[arg-type]
    driver.act(driver.fleet.apply(specs, lambda spec: True, 0.0), 0.0)
    return driver


def test_a_child_called_off_and_wanted_again_before_its_fork_gets_one_process() -> None:
    def check() -> None:
        around = Around()
        driver = started(around, ["one"])
        for up in (False, True):
            driver.feed("one", ev.Want(up=up, why="test"), 0.0)
        driver.fork_pending(0.0)
        try:
            assert len(around.forked) == 1
            assert driver.fleet.children["one"].pid == around.forked[0].pid
        finally:
            around.kill_all()

    alone(check)


def test_a_refused_fork_keeps_nobody_else_from_his() -> None:
    def check() -> None:
        around = Around(refused="two")
        driver = started(around, ["one", "two", "three"])
        driver.fork_pending(0.0)
        try:
            states = {name: child.state for name, child in driver.fleet.children.items()}
            assert states == {"one": State.STARTING, "two": State.BACKOFF, "three": State.STARTING}
            assert set(driver.processes) == {"one", "three"}
        finally:
            around.kill_all()

    alone(check)


def test_what_fails_after_a_fork_is_not_taken_for_a_refused_one() -> None:
    """It would be tried again, beside the process that is there."""

    def check() -> None:
        around = Around(stillborn="one")
        driver = started(around, ["one"])
        try:
            with pytest.raises(OSError, match="No space left"):
                driver.fork_pending(0.0)
            assert driver.processes == {"one": around.forked[0]}
            assert not driver.forks_pending
        finally:
            around.kill_all()

    alone(check)


@pytest.mark.parametrize("room", [0, 1, 2, 3])
def test_a_process_that_cannot_be_watched_is_none_and_is_tried_again(room: int) -> None:
    def check() -> None:
        around = Around()
        driver = started(around, ["one", "two"], FullPoller(room))
        before = len(os.listdir("/proc/self/fd"))
        driver.fork_pending(0.0)
        try:
            born = ["one"] if room >= 2 else []
            states = {name: child.state for name, child in driver.fleet.children.items()}
            refused = dict.fromkeys(["one", "two"], State.BACKOFF)
            assert states == refused | dict.fromkeys(born, State.STARTING)
            assert set(driver.processes) == set(born)
            below_us = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            assert [int(pid) for pid in below_us] == [driver.processes[name].pid for name in born]
            assert len(os.listdir("/proc/self/fd")) == before + 4 * len(born)
        finally:
            for process in driver.processes.values():
                process.kill()

    alone(check)


def test_a_child_that_tells_of_the_last_run_before_it_is_ready_is_listened_to_until_it_is() -> None:
    """It closes what its dead predecessor left open; its READY must not wait for the look of every second."""

    def check() -> None:
        around = Around()
        driver = started(around, ["one"])
        runs = Runs(SimpleNamespace(fleet=driver.fleet, manual=set()), driver)  # type: ignore[arg-type]
        try:
            driver.fork_pending(0.0)
            runs.ended("one", {"state": "killed"})
            assert driver.listened == {"one"}
            driver.feed("one", ev.Greeted(), 0.0)
            driver.feed("one", ev.BecameReady(), 0.0)
            runs.ended("one", {"state": "ok"})
            assert driver.listened == set()
        finally:
            around.kill_all()

    alone(check)
