"""Helpers: one function call in a process of its own, with a deadline; its result is JSON, whatever it does."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.helper.run import MAX_RESULT
from supervisor.parent.helpers import Helpers, Outcome
from supervisor.parent.poller import Lane, Poller
from support.alone import alone
from support.eventually import eventually
from support.system import alive, state


class Loop:
    """The parent's loop with nothing but helpers in it."""

    def __init__(self) -> None:
        self.poller = Poller()
        self.helpers = Helpers(self.poller)
        self.outcomes: list[Outcome] = []

    def start(self, function: Callable[..., Any], *args: Any, within: float = 60.0) -> None:
        self.helpers.start("one", function, *args, within=within, now=time.monotonic(), done=self.outcomes.append)

    def run(self, until: Callable[[], Any]) -> None:
        def turn() -> Any:
            for lane, fd, _ in self.poller.wait(0.05):
                assert lane is Lane.HELPER
                self.helpers.on_event(fd)
            self.helpers.expire(time.monotonic())
            return until()

        eventually(turn, within=60, every=0)

    def outcome(self, function: Callable[..., Any], *args: Any, within: float = 60.0) -> Outcome:
        before = len(self.outcomes)
        self.start(function, *args, within=within)
        self.run(lambda: len(self.outcomes) > before)
        return self.outcomes[-1]


def outcome(function: Callable[..., Any], *args: Any, within: float = 60.0) -> Outcome:
    """Let a helper call it; the loop is then as it was before."""

    def check() -> Outcome:
        loop = Loop()
        loop.outcome(len, "warm")
        before = sorted(os.listdir("/proc/self/fd"))
        found = loop.outcome(function, *args, within=within)
        assert sorted(os.listdir("/proc/self/fd")) == before
        assert loop.helpers.pids() == set()
        assert loop.helpers.deadline() is None
        assert Path(f"/proc/self/task/{os.getpid()}/children").read_text() == ""
        return found

    return alone(check)


def test_the_result_comes_back() -> None:
    assert outcome(lambda a, b: {"sum": a + b}, 1, 2) == Outcome(value={"sum": 3})


def test_none_is_a_result_too() -> None:
    assert outcome(lambda: None) == Outcome(value=None)


@pytest.mark.parametrize("size", [65_536, 1_000_000, MAX_RESULT - 100])
def test_a_result_larger_than_a_pipe_comes_back_whole(size: int) -> None:
    found = outcome(lambda: "x" * size)
    assert found.error is None
    assert len(found.value) == size


def test_a_result_over_the_limit_is_refused_and_the_limit_named() -> None:
    found = outcome(lambda: "x" * (MAX_RESULT + 1))
    assert found.value is None
    assert "its result" in str(found.error)
    assert "8388608 bytes" in str(found.error)


def test_a_helper_that_writes_without_end_is_killed() -> None:
    def floods() -> None:
        result = result_fd()
        while True:
            os.write(result, b"x" * 65536)

    found = outcome(floods)
    assert "its result" in str(found.error)


def result_fd() -> int:
    """The one pipe that a helper has."""
    (fd,) = [int(name) for name in os.listdir("/proc/self/fd") if link(name).startswith("pipe:")]
    return fd


def link(name: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        return ""


def test_an_exception_is_an_error_with_its_type() -> None:
    def fails() -> None:
        raise KeyError("topics")

    assert outcome(fails) == Outcome(error="KeyError: 'topics'")


def test_sys_exit_is_an_error() -> None:
    def leaves() -> None:
        raise SystemExit(3)

    assert outcome(leaves) == Outcome(error="SystemExit: 3")


def test_a_result_that_is_no_json_is_an_error_that_says_so() -> None:
    found = outcome(lambda: object())
    assert "not JSON serializable" in str(found.error)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_helper_that_dies_is_an_error(number: int) -> None:
    def dies() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), number)

    assert outcome(dies) == Outcome(error="one died without a result")


def test_a_helper_that_takes_too_long_is_killed() -> None:
    assert outcome(time.sleep, 600, within=0.2) == Outcome(error="one took longer than 0.2 s")


def test_a_helper_that_hears_no_signal_is_killed_too() -> None:
    def deaf() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        time.sleep(600)

    assert outcome(deaf, within=0.2) == Outcome(error="one took longer than 0.2 s")


@pytest.mark.parametrize(
    "said", [b"5", b"[]", b'"error"', b'{"error": {}}', b"{}", b"null", b"[" * 100_000, b"\xff", b"NaN"]
)
def test_what_user_code_writes_there_itself_harms_nobody(said: bytes) -> None:
    """A check of the configuration imports user code, which may write anywhere."""

    def writes() -> None:
        os.write(result_fd(), said)
        os._exit(0)

    found = outcome(writes)
    assert found.value is None
    assert isinstance(found.error, str)


def test_without_a_descriptor_it_is_an_error_at_once() -> None:
    def check() -> None:
        loop = Loop()
        loop.outcome(len, "warm")
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        for _ in range(3):
            loop.start(len, "x")
        assert [outcome.error for outcome in loop.outcomes[1:]] == ["one could not be started: " + EMFILE] * 3

    alone(check)


EMFILE = "[Errno 24] Too many open files"


def test_a_grandchild_that_holds_the_pipe_keeps_no_result_back() -> None:
    def leaves_one() -> int:
        return subprocess.Popen(["sleep", "600"], pass_fds=[result_fd()], start_new_session=True).pid

    found = outcome_with_children(leaves_one)
    assert found.error is None
    os.kill(found.value, signal.SIGKILL)


def outcome_with_children(function: Callable[[], Any]) -> Outcome:
    return alone(lambda: Loop().outcome(function))


def test_what_is_in_its_group_ends_with_it() -> None:
    found = outcome(lambda: subprocess.Popen(["sleep", "600"]).pid)
    assert found.error is None
    eventually(lambda: not alive(found.value), within=30)


def test_many_at_once_each_get_their_own_result() -> None:
    def check() -> None:
        loop = Loop()
        for number in range(20):
            loop.start(lambda number: number, number)
        loop.run(lambda: len(loop.outcomes) == 20)
        assert sorted(found.value for found in loop.outcomes) == list(range(20))

    alone(check)


def test_at_the_end_all_are_killed_and_nobody_is_told() -> None:
    def check() -> None:
        loop = Loop()
        for _ in range(3):
            loop.start(time.sleep, 600)
        pids = loop.helpers.pids()
        assert len(pids) == 3
        loop.helpers.kill_all()
        assert [state(pid) for pid in pids] == ["", "", ""]
        assert loop.outcomes == []
        assert loop.poller.wait(0) == []

    alone(check)


def test_a_freeze_of_the_supervisor_is_not_the_helpers_fault() -> None:
    def check() -> None:
        loop = Loop()
        loop.start(time.sleep, 600, within=1000.0)
        before = loop.helpers.deadline()
        assert before is not None
        loop.helpers.shift(30.0)
        assert loop.helpers.deadline() == before + 30.0
        loop.helpers.kill_all()

    alone(check)


def test_a_helper_dies_with_the_supervisor() -> None:
    def check() -> int:
        loop = Loop()
        loop.start(time.sleep, 600)
        (pid,) = loop.helpers.pids()
        eventually(lambda: "sleep" in json.dumps(pid) or os.getpgid(pid) == pid, within=30)
        return pid

    pid = alone(check)
    eventually(lambda: not alive(pid), within=30)


def test_it_has_no_descriptor_but_its_result_and_reads_nothing() -> None:
    def lists() -> dict[str, str]:
        return {name: link(name) for name in os.listdir("/proc/self/fd") if link(name)}

    found = outcome(lists).value
    assert {found[name] for name in "012"} == {"/dev/null"}
    others = [text for name, text in found.items() if int(name) > 2]
    assert [text.split(":")[0] for text in others] == ["pipe"]


class NoRoom(Poller):
    """As when the kernel has no room for a second watch."""

    def register(self, fd: int, lane: Lane, mask: int = select.EPOLLIN) -> None:
        if self._lanes:
            raise OSError(28, "No space left on device")
        super().register(fd, lane, mask)


def test_a_helper_that_cannot_be_watched_is_ended_and_that_is_its_outcome() -> None:
    def check() -> None:
        outcomes: list[Outcome] = []
        helpers = Helpers(NoRoom())
        before = sorted(os.listdir("/proc/self/fd"))
        helpers.start("one", len, "x", within=60.0, now=time.monotonic(), done=outcomes.append)
        assert [outcome.error for outcome in outcomes] == [
            "one could not be started: [Errno 28] No space left on device"
        ]
        assert sorted(os.listdir("/proc/self/fd")) == before
        assert helpers.pids() == set()
        assert Path(f"/proc/self/task/{os.getpid()}/children").read_text() == ""

    alone(check)
