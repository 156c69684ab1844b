"""What a dead child left behind comes to the parent, is killed and reaped; what is ours or others' is let alone."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn

import pytest

from supervisor.core.wire import frames
from supervisor.forked import adopt_orphans, close_all_but, die_with, reset_signals
from supervisor.parent.poller import Lane, Poller
from supervisor.parent.process import Ends, Process, fork
from supervisor.parent.strangers import Children, Strangers, end_all
from support.alone import alone
from support.eventually import eventually
from support.system import alive, state


def child(body: Callable[[Ends], None]) -> Callable[[Ends], NoReturn]:
    """A child as child/boot makes it, and what it does."""
    parent = os.getpid()

    def start(ends: Ends) -> NoReturn:
        reset_signals()
        os.setsid()
        die_with(parent)
        adopt_orphans()
        close_all_but({ends.messages})
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        body(ends)
        time.sleep(600)
        os._exit(0)

    return start


def idle(ends: Ends) -> None:
    pass


def say(ends: Ends, *pids: int) -> None:
    for pid in pids:
        os.write(ends.messages, frames.encode({"pid": pid}))


def away(ends: Ends) -> None:
    """A daemon as the books have it: fork, setsid, fork; nothing in its environment tells whose it is.

    The pid is said when the process between the two is reaped: else it could come to the parent as well.
    """
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(write, str(os.getpid()).encode())
            os.execve("/bin/sleep", ["sleep", "600"], {})
        os._exit(0)
    os.waitpid(pid, 0)
    say(ends, int(os.read(read, 16)))


def three_away(ends: Ends) -> None:
    for _ in range(3):
        away(ends)


class Parent:
    """A parent with nothing but strangers in its loop. To be made in a process of its own."""

    def __init__(self) -> None:
        adopt_orphans()
        self.poller = Poller()
        self.ours: list[Process] = []
        self.strangers = Strangers(self.poller, self.pids, lambda pid: False)
        self.cleared: list[frozenset[str]] = []

    def pids(self) -> Collection[int]:
        return {process.pid for process in self.ours}

    def fork(self, body: Callable[[Ends], None]) -> Process:
        self.ours.append(fork("one", child(body)))
        return self.ours[-1]

    def said(self, process: Process, count: int) -> list[int]:
        pids: list[int] = []

        def enough() -> bool:
            pids.extend(int(frame["pid"]) for frame in process.read())
            return len(pids) >= count

        eventually(enough, within=30)
        return pids

    def end(self, process: Process, name: str = "one") -> bool:
        """As the driver does: reap it, look for what it left, forget it."""
        process.kill()
        process.reap()
        left = self.strangers.find([name])
        self.ours.remove(process)
        process.close()
        return left

    def clear(self) -> None:
        def turn() -> bool:
            for lane, fd, _ in self.poller.wait(0.05):
                assert lane is Lane.STRANGER
                self.cleared.append(self.strangers.gone(fd))
            self.strangers.reap_dead()  # as at every SIGCHLD
            return not self.strangers

        eventually(turn, within=30, every=0)


def below_us() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def test_a_child_that_leaves_nothing_leaves_nothing_to_wait_for() -> None:
    def check() -> None:
        parent = Parent()
        assert parent.end(parent.fork(idle)) is False
        assert not parent.strangers
        assert below_us() == ""

    alone(check)


def test_a_daemon_with_an_empty_environment_is_killed_and_reaped_before_its_child_is_clear() -> None:
    def check() -> None:
        parent = Parent()
        process = parent.fork(away)
        (daemon,) = parent.said(process, 1)
        assert os.getsid(daemon) != os.getsid(process.pid)
        assert parent.end(process) is True
        assert parent.strangers.of("one") == [daemon]
        assert parent.strangers.of("two") == []
        parent.clear()
        assert state(daemon) == "", "dead and reaped"
        assert parent.cleared == [frozenset({"one"})]
        assert below_us() == ""

    alone(check)


def test_daemons_of_daemons_come_one_after_the_other_and_all_go() -> None:
    def nest(ends: Ends) -> None:
        """Each has a session of its own and a child; only the outermost is ever the child's own."""
        for _ in range(5):
            if os.fork() != 0:
                return
            os.setsid()
            say(ends, os.getpid())
        time.sleep(600)

    def nested(ends: Ends) -> None:
        if os.fork() == 0:
            nest(ends)
            time.sleep(600)

    def check() -> None:
        parent = Parent()
        process = parent.fork(nested)
        pids = parent.said(process, 5)
        assert parent.end(process)
        parent.clear()
        assert [state(pid) for pid in pids] == [""] * 5
        assert [names for names in parent.cleared if names] == [frozenset({"one"})], "clear once, when all are gone"
        assert below_us() == ""

    alone(check)


def test_what_is_ours_is_never_taken_for_a_stranger() -> None:
    def check() -> None:
        parent = Parent()
        other = parent.fork(idle)
        dead = parent.fork(lambda ends: os._exit(9))
        eventually(lambda: state(dead.pid) == "Z", within=30)
        process = parent.fork(away)
        parent.said(process, 1)
        assert parent.end(process)
        parent.clear()
        parent.strangers.reap_dead()
        assert alive(other.pid)
        assert state(dead.pid) == "Z", "its exit status is still there"
        assert dead.reap().code == 9
        parent.end(other)

    alone(check)


def test_two_children_that_die_together_wait_for_what_either_left() -> None:
    def check() -> None:
        parent = Parent()
        one, two = parent.fork(away), parent.fork(idle)
        (daemon,) = parent.said(one, 1)
        for process in (one, two):
            process.kill()
            process.reap()
        assert parent.strangers.find(["one", "two"])
        assert parent.strangers.of("one") == parent.strangers.of("two") == [daemon]
        parent.clear()
        assert parent.cleared == [frozenset({"one", "two"})]
        for process in (one, two):
            process.close()

    alone(check)


def test_a_stranger_that_is_dead_already_is_reaped_without_a_wait() -> None:
    def check() -> None:
        parent = Parent()
        process = parent.fork(away)
        (daemon,) = parent.said(process, 1)
        process.kill()
        process.reap()
        os.kill(daemon, signal.SIGKILL)
        eventually(lambda: state(daemon) == "Z", within=30)
        parent.strangers.reap_dead()
        assert below_us() == ""
        process.close()

    alone(check)


def test_without_a_descriptor_strangers_are_found_and_gone_all_the_same() -> None:
    def check() -> None:
        parent = Parent()
        process = parent.fork(three_away)
        daemons = parent.said(process, 3)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
        process.kill()
        process.reap()
        parent.strangers.find(["one"])
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        parent.clear()
        assert [state(daemon) for daemon in daemons] == [""] * 3
        process.close()

    alone(check)


def test_without_a_descriptor_the_children_of_a_stranger_are_found_when_it_is_gone() -> None:
    def keeps_one(ends: Ends) -> None:
        """In its place it leaves a process that itself has a child."""
        if os.fork() == 0:
            os.setsid()
            say(ends, os.getpid())
            if os.fork() == 0:
                os.setsid()
                say(ends, os.getpid())
            time.sleep(600)

    def check() -> None:
        parent = Parent()
        process = parent.fork(keeps_one)
        pids = parent.said(process, 2)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
        parent.end(process)
        assert parent.strangers, "a stop waits for the next look"
        parent.clear()
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        assert [state(pid) for pid in pids] == [""] * 2
        assert below_us() == ""

    alone(check)


def test_as_pid_1_only_what_bears_the_run_id_is_killed_and_all_dead_are_reaped() -> None:
    """In a namespace of its own: the machine's other orphans come to us there."""
    if subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "true"], check=False, capture_output=True
    ).returncode:
        pytest.skip("no right to make a PID namespace (needs root)")
    script = """
import os, signal, sys, time
sys.path[:0] = sys.argv[1:]
from supervisor.parent.poller import Poller
from supervisor.parent.strangers import Strangers
assert os.getpid() == 1

def orphan(seconds):
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        if os.fork() == 0:
            os.write(write, str(os.getpid()).encode())
            time.sleep(seconds)
        os._exit(0)
    os.waitpid(pid, 0)
    return int(os.read(read, 20))

innocent, ours, short = orphan(600), orphan(600), orphan(0)
poller = Poller()
strangers = Strangers(poller, lambda: set(), lambda pid: pid == ours)
assert strangers.find(["one"])
assert strangers.of("one") == [ours]
while strangers:
    for _, fd, _ in poller.wait(30):
        strangers.gone(fd)
end = time.monotonic() + 30
while os.path.exists(f"/proc/{short}") and time.monotonic() < end:
    strangers.reap_dead()
    time.sleep(0.01)
left = {int(name) for name in os.listdir("/proc") if name.isdigit()}
assert left == {1, innocent}, left
"""
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", sys.executable, "-c", script, os.getcwd()],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_a_thousand_children_are_all_listed() -> None:
    """The kernel hands the list out in pieces of a page."""

    def check() -> None:
        made = set()
        for _ in range(1000):
            if (pid := os.fork()) == 0:
                os._exit(0)
            made.add(pid)
        assert Children().pids() == made

    alone(check)


def test_at_a_bug_of_ours_everything_below_us_ends_but_the_guard() -> None:
    def check() -> None:
        parent = Parent()
        process, spared = parent.fork(three_away), parent.fork(idle)
        daemons = parent.said(process, 3)
        os.kill(process.pid, signal.SIGSTOP)
        end_all({spared.pid}, within=30)
        assert [state(pid) for pid in [process.pid, *daemons]] == [""] * 4
        assert alive(spared.pid)
        spared.kill()
        spared.reap()

    alone(check)


def test_when_the_kernel_has_no_memory_for_its_list_they_are_found_one_by_one() -> None:
    def check() -> None:
        pread = os.pread

        def refused(fd: int, size: int, offset: int) -> bytes:
            if os.readlink(f"/proc/self/fd/{fd}").endswith("/children"):
                raise OSError(12, "Cannot allocate memory")
            return pread(fd, size, offset)

        parent = Parent()
        process = parent.fork(away)
        (pid,) = parent.said(process, 1)
        os.pread = refused
        assert parent.end(process) is True
        assert parent.strangers.of("one") == [pid]
        parent.clear()
        assert below_us() == ""

    alone(check)
