"""The one door through which every process comes: supervisor/parent/process.py, with real forks."""

from __future__ import annotations

import errno
import os
import resource
import signal
import threading
import time
from pathlib import Path
from typing import NoReturn

import multiprocess.process
import pytest

from supervisor.core.wire import frames
from supervisor.forked import close_all_but, die_with, reset_signals
from supervisor.parent.process import Ends, Process, assert_one_thread, fork, fork_bare, raise_nofile
from support.alone import alone
from support.eventually import eventually
from support.system import alive, state

NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it becomes another user")


def begin(ends: Ends | None = None) -> None:
    """The first lines of a forked process, as child/boot and helper/run have them."""
    parent = os.getppid()
    reset_signals()
    os.setsid()
    die_with(parent)
    close_all_but({ends.messages, ends.orders, ends.dump} if ends else set())


def sleeps(ends: Ends) -> NoReturn:
    begin(ends)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    time.sleep(600)
    os._exit(0)


def deaf(ends: Ends) -> NoReturn:
    begin(ends)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    os.write(ends.messages, frames.encode({"deaf": True}))
    while True:
        time.sleep(600)


def ended(process: Process) -> None:
    """Kill it, reap it, close everything."""
    process.kill()
    process.reap()
    process.close()


def descriptors() -> list[str]:
    """What this process holds; also when it may open no more."""
    return [f"{fd} {link}" for fd in range(200) if (link := link_of(fd))]


def link_of(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def test_a_fork_beside_a_second_thread_is_refused() -> None:
    def check() -> None:
        over = threading.Event()
        thread = threading.Thread(target=over.wait)
        thread.start()
        with pytest.raises(RuntimeError, match="2 threads and must have one"):
            fork("one", sleeps)
        over.set()
        thread.join()
        eventually(
            lambda: len(os.listdir("/proc/self/task")) == 1
        )  # join returns a moment before the kernel's thread ends
        ended(fork("one", sleeps))

    alone(check)


def test_a_native_thread_that_python_does_not_know_of_is_counted_too() -> None:
    """As librdkafka's: threading.active_count() says one."""

    def check() -> None:
        import ctypes

        libc = ctypes.CDLL(None)
        thread = ctypes.c_ulong()
        body = ctypes.cast(libc.pause, ctypes.c_void_p)
        assert libc.pthread_create(ctypes.byref(thread), None, body, None) == 0
        assert threading.active_count() == 1
        with pytest.raises(RuntimeError, match="2 threads"):
            assert_one_thread()
        with pytest.raises(RuntimeError, match="2 threads"):
            fork("one", sleeps)

    alone(check)


@root_only
def test_a_refused_fork_leaves_nothing_open() -> None:
    def check() -> None:
        os.setresuid(NOBODY, NOBODY, NOBODY)
        soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
        resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))
        before = descriptors()
        assert len(before) > 3
        for _ in range(20):
            with pytest.raises(OSError) as refused:
                fork("one", sleeps)
            assert refused.value.errno == errno.EAGAIN
            assert descriptors() == before
        resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
        ended(fork("one", sleeps))
        assert descriptors() == before

    alone(check)


@pytest.mark.parametrize("left", range(12))
def test_a_fork_without_enough_descriptors_is_refused_and_leaves_nothing(left: int) -> None:
    """However many are left, none to enough: neither a pipe nor a process stays."""

    def check() -> None:
        allow_descriptors(left)
        before = descriptors()
        if left < 9:
            with pytest.raises(OSError) as refused:
                fork("one", sleeps)
            assert refused.value.errno == errno.EMFILE
        else:
            ended(fork("one", sleeps))
        assert descriptors() == before
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        assert Path(f"/proc/self/task/{os.getpid()}/children").read_text() == ""

    alone(check)


def allow_descriptors(left: int) -> None:
    """Fill all that is free below the highest one, then allow `left` more."""
    highest = max(int(line.split()[0]) for line in descriptors())
    while os.open(os.devnull, os.O_RDONLY) < highest:
        pass
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2 + left, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def test_two_hundred_forks_leave_the_parent_as_it_was() -> None:
    def check() -> None:
        ended(fork("one", sleeps))
        before = descriptors()
        for _ in range(200):
            ended(fork("one", sleeps))
        assert descriptors() == before

    alone(check)


def test_the_end_of_a_process_is_seen_though_its_grandchild_holds_every_pipe() -> None:
    def leaves_a_grandchild(ends: Ends) -> NoReturn:
        begin(ends)
        if os.fork() == 0:
            os.setsid()
            os.write(ends.messages, frames.encode({"grandchild": os.getpid()}))
            time.sleep(600)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        time.sleep(600)
        os._exit(0)

    def check() -> None:
        process, sibling = fork("one", leaves_a_grandchild), fork("two", sleeps)
        (said,) = eventually(process.read, within=30)
        os.kill(process.pid, signal.SIGKILL)
        eventually(lambda: is_readable(process.pidfd), within=30)
        assert not process.silent
        assert process.read() == []
        assert not process.silent, "the pipe says nothing of the death"
        assert alive(said["grandchild"])
        assert not is_readable(sibling.pidfd)
        assert process.reap().signal == signal.SIGKILL
        os.kill(said["grandchild"], signal.SIGKILL)
        ended(sibling)

    alone(check)


def is_readable(fd: int) -> bool:
    import select

    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def test_a_signal_to_a_reaped_process_reaches_nobody() -> None:
    """Its number may belong to another process by now; the pidfd belongs to the dead one for ever."""

    def check() -> None:
        process = fork("one", sleeps)
        process.send(signal.SIGKILL)
        assert process.reap().signal == signal.SIGKILL
        innocent = again_with_pid(process.pid)
        process.send(signal.SIGKILL)
        process.send(signal.SIGTERM)
        time.sleep(0.05)  # a signal that went astray would have killed by then
        assert innocent is None or alive(innocent)
        if innocent:
            os.kill(innocent, signal.SIGKILL)
            os.waitpid(innocent, 0)
        process.close()

    alone(check)


def again_with_pid(pid: int) -> int | None:
    """Fork a process that has this very pid; None where that needs more rights than there are."""
    try:
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    except OSError:
        return None
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    if child != pid:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return None
    return child


def test_a_stopped_process_gets_its_term_after_cont() -> None:
    def check() -> None:
        process = fork("one", sleeps)
        eventually(lambda: os.getpgid(process.pid) == process.pid, within=30)
        process.send(signal.SIGSTOP)
        eventually(lambda: state(process.pid) == "T", within=30)
        process.send(signal.SIGTERM)
        assert state(process.pid) == "T", "pending: a stopped process does not get it"
        process.send(signal.SIGCONT)
        eventually(lambda: is_readable(process.pidfd), within=30)
        assert process.reap().signal == signal.SIGTERM
        process.close()

    alone(check)


def test_the_group_is_killed_before_the_process_is_reaped() -> None:
    """Once it is reaped its number is free, and the group's with it."""

    def with_grandchildren(ends: Ends) -> NoReturn:
        begin(ends)
        for _ in range(3):
            if (pid := os.fork()) == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(600)
            os.write(ends.messages, frames.encode({"pid": pid}))
        os._exit(7)

    def check() -> None:
        process = fork("one", with_grandchildren)
        eventually(lambda: is_readable(process.pidfd), within=30)
        grandchildren = [frame["pid"] for frame in process.read()]
        assert len(grandchildren) == 3
        assert all(map(alive, grandchildren))
        assert process.reap().code == 7
        eventually(lambda: not any(map(alive, grandchildren)), within=30)
        process.close()

    alone(check)


def test_a_kill_takes_the_group_too() -> None:
    def with_a_grandchild(ends: Ends) -> NoReturn:
        begin(ends)
        if (pid := os.fork()) == 0:
            time.sleep(600)
        os.write(ends.messages, frames.encode({"pid": pid}))
        time.sleep(600)
        os._exit(0)

    def check() -> None:
        process = fork("one", with_a_grandchild)
        (said,) = eventually(process.read, within=30)
        process.kill()
        eventually(lambda: not alive(said["pid"]), within=30)
        process.reap()
        process.close()

    alone(check)


def test_a_kill_before_the_process_has_a_group_hits_it_alone() -> None:
    """Its group is still ours then: a kill of the group would be the end of the supervisor."""

    def no_group(ends: Ends) -> NoReturn:
        os.write(ends.messages, frames.encode({"pid": os.getpid()}))
        time.sleep(600)
        os._exit(0)

    def check() -> None:
        os.setsid()
        process = fork("one", no_group)
        eventually(process.read, within=30)
        assert os.getpgid(process.pid) == os.getpgrp()
        ended(process)

    alone(check)


def test_a_fork_reaps_no_other_child() -> None:
    """multiprocess polls all of its children at every start, and would take their exit status from us."""

    def exits(ends: Ends) -> NoReturn:
        begin(ends)
        os._exit(42)

    def check() -> None:
        first = fork("one", exits)
        eventually(lambda: is_readable(first.pidfd), within=30)
        second = fork("two", sleeps)
        assert multiprocess.process._children == set()
        assert state(first.pid) == "Z"
        assert first.reap().code == 42
        first.close()
        ended(second)

    alone(check)


def test_signals_are_as_before_after_a_fork_and_after_a_refused_one() -> None:
    def check() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR1})
        ended(fork("one", sleeps))
        assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == {signal.SIGUSR1}
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        with pytest.raises(OSError):
            fork_bare("one", sleeps)
        assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == {signal.SIGUSR1}
        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    alone(check)


def test_neither_side_ever_blocks_on_a_full_pipe() -> None:
    """A child that writes to a supervisor that is stopped goes on with its work, and the other way round."""

    def floods(ends: Ends) -> NoReturn:
        begin(ends)
        refused = 0
        for _ in range(200):
            try:
                os.write(ends.messages, b"x" * 1000)
            except BlockingIOError:
                refused += 1
        os.pwrite(ends.dump, f"{refused} refused".encode(), 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        time.sleep(600)
        os._exit(0)

    def check() -> None:
        process = fork("one", floods)
        said = eventually(lambda: process.stacks(), within=30)
        assert int(said.split()[0]) > 100
        order = frames.encode({"o": "x" * 1000})
        assert process.write(order)
        assert False in [process.write(order) for _ in range(200)]
        ended(process)

    alone(check)


def test_an_order_to_a_dead_process_is_refused() -> None:
    def exits(ends: Ends) -> NoReturn:
        begin(ends)
        os._exit(0)

    def check() -> None:
        process = fork("one", exits)
        eventually(lambda: is_readable(process.pidfd), within=30)
        assert not process.write(frames.encode({"o": "drain"}))
        assert process.reap().clean
        process.close()

    alone(check)


def test_what_the_page_and_the_memfd_hold_outlives_sigkill() -> None:
    def notes(ends: Ends) -> NoReturn:
        from supervisor.core.wire import page

        begin(ends)
        page.write(memoryview(ends.page), 1, b"handling", time.monotonic(), subject=b"orders", partition=3, offset=42)
        page.write_member(memoryview(ends.page), "rdkafka-1")
        os.write(ends.dump, b"File mine.py, line 3")
        os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)

    def check() -> None:
        process = fork("one", notes)
        status = process.reap()
        assert (status.signal, status.member) == (signal.SIGKILL, "rdkafka-1")
        doing = process.doing()
        assert doing is not None
        assert (doing.phase, doing.subject, doing.partition, doing.offset) == ("handling", "orders", 3, 42)
        assert process.stacks() == "File mine.py, line 3"
        process.close()

    alone(check)


def test_the_descriptor_limit_is_raised_and_the_old_one_returned() -> None:
    def check() -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
        assert raise_nofile() == (300, hard)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 300

    alone(check)
