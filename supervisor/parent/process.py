"""RUNS IN THE PARENT: one OS process, from fork to reaping. The only file that forks, signals and reaps.

Fork rules, each of which was a bug somewhere: one native thread at the fork (a lock held by another stays
locked for ever in the copy); all signals blocked across it; exits by pidfd, never by the end of a pipe (a
grandchild may hold it) and never by waitpid(-1); signals by pidfd, which cannot hit a reused pid.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # as in forked.py
import mmap
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import multiprocess
import multiprocess.popen_fork  # otherwise read from disk by the first fork, when there may be no descriptor for it
import multiprocess.process

from supervisor.core.lifecycle.exits import ExitStatus
from supervisor.core.wire import page as box
from supervisor.core.wire.frames import Decoder

SIGTERM, SIGCONT = signal.SIGTERM, signal.SIGCONT
DUMP_BYTES = 64 * 1024
READ_BYTES = 64 * 1024  # a pipe's whole capacity: a flood is read a pipe at a time, one a turn
_ALL_SIGNALS = signal.valid_signals()
_CONTEXT = multiprocess.get_context("fork")  # said aloud: the default may change with any release


@dataclass(slots=True, eq=False)
class Process:
    """A forked process and the parent's ends of what connects it."""

    pid: int
    pidfd: int
    handle: Any  # multiprocess's own
    messages: int = -1
    orders: int = -1
    page: mmap.mmap | None = None
    dump: int = -1
    decoder: Decoder = field(default_factory=Decoder)
    signalled: set[int] = field(default_factory=set)  # what we sent it
    silent: bool = False  # its end of the message pipe is closed
    read_last: box.Doing | None = None  # from its page, which changes rarely and is looked at every second

    def send(self, number: int) -> None:
        """Signal the process; none to one that is already dead, or that is another user's by now."""
        self.signalled.add(number)
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except (ProcessLookupError, PermissionError):
            pass  # its exit is on the way through the epoll; or it is found to be beyond SIGKILL

    def kill(self) -> None:
        """SIGKILL the process and its group. The unreaped pid pins the group's number."""
        self.send(signal.SIGKILL)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # it died before it made a group of its own, or the group is empty

    def read(self) -> list[dict[str, Any]]:
        """Return the frames that have come, at most a pipe full of them."""
        try:
            data = os.read(self.messages, READ_BYTES)
        except BlockingIOError:
            return []
        self.silent = not data
        return self.decoder.feed(data)

    def write(self, frame: bytes) -> bool:
        """Send an order without blocking. False: the pipe is full or closed."""
        try:
            os.write(self.orders, frame)
        except (BlockingIOError, BrokenPipeError):
            return False
        return True

    def doing(self) -> box.Doing | None:
        """Return what its page says; of a write that is half done, what it said before."""
        if self.page and (self.read_last is None or box.count(memoryview(self.page)) != self.read_last.count):
            self.read_last = box.read(memoryview(self.page)) or self.read_last
        return self.read_last

    def ran(self) -> float | None:
        """Return the last slot of the schedule that it started."""
        return box.read_ran(memoryview(self.page)) if self.page else None

    def stacks(self) -> str:
        """Return what faulthandler wrote: Python stacks, also after SIGSEGV."""
        try:
            return os.pread(self.dump, DUMP_BYTES, 0).decode(errors="replace") if self.dump >= 0 else ""
        except OSError:  # swapped out to a disk that is broken
            return ""

    def reap(self, *, oom: bool = False) -> ExitStatus:
        """Take the exit status. While it is unreaped its group can still be killed safely, so that comes first."""
        os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOWAIT)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        code = self.handle.exitcode
        member = box.read_member(memoryview(self.page)) if self.page else ""
        if code is not None and code < 0:
            return ExitStatus(signal=-code, oom=oom, member=member)
        return ExitStatus(code=code, member=member)

    def discard(self) -> None:
        """It cannot be watched, so it must not be."""
        self.kill()
        self.reap()
        self.close()

    def close(self) -> None:
        for fd in (self.pidfd, self.messages, self.orders, self.dump):
            if fd >= 0:
                os.close(fd)
        if self.page:
            self.page.close()
        self.handle.close()


@dataclass(frozen=True, slots=True)
class Ends:
    """The child's ends of the two pipes, its page and its memfd: what Birth carries over the fork."""

    messages: int
    orders: int
    page: mmap.mmap
    dump: int


def fork(name: str, target: Callable[[Ends], None]) -> Process:
    """Fork a child process connected by two pipes, a page and a memfd. Raises OSError when the machine refuses."""
    opened: list[int] = []
    try:
        messages_r, messages_w = _pipe(opened)
        orders_r, orders_w = _pipe(opened)
        for fd in (messages_r, messages_w, orders_w):  # neither side ever waits for the other to read
            os.set_blocking(fd, False)
        dump = os.memfd_create(f"forkwarden-{name}")
        opened.append(dump)
        shared = mmap.mmap(-1, box.SIZE)
        process = fork_bare(name, target, Ends(messages_w, orders_r, shared, dump))
    except BaseException:
        for fd in opened:
            os.close(fd)
        raise
    os.close(messages_w)
    os.close(orders_r)
    process.messages, process.orders, process.page, process.dump = messages_r, orders_w, shared, dump
    return process


def fork_bare(name: str, target: Callable[..., None], *args: Any) -> Process:
    """Fork without any connection but what `args` carry. The one door through which every process comes."""
    assert_one_thread()
    handle = _CONTEXT.Process(name=name, target=target, args=args)
    with _closing_leaked():
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
        try:
            handle.start()
        finally:
            _signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    # otherwise every later start() polls, and may reap, the other children behind our back
    multiprocess.process._children.discard(handle)
    # its two descriptors, and a finalizer that every later child would find and free: for join(), which is not used
    handle._popen.close()
    try:
        return Process(pid=handle.pid, pidfd=os.pidfd_open(handle.pid), handle=handle)
    except OSError:  # the pipes took the last descriptors: a process that cannot be watched must not be
        os.kill(handle.pid, signal.SIGKILL)
        handle.join()
        handle.close()
        raise


def assert_one_thread() -> None:
    """A lock that another thread holds at the fork stays locked in the child for ever: refuse before it happens."""
    threads = os.stat("/proc/self/task").st_nlink - 2  # each thread is a folder in it; their listing costs more
    if threads != 1:
        raise RuntimeError(f"the supervisor has {threads} threads and must have one: something it imported began them")


def raise_nofile() -> tuple[int, int]:
    """Allow as many descriptors as the hard limit lets; return the limit as it was, for the children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 1 << 20) if hard != resource.RLIM_INFINITY else 1 << 20
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    except OSError:
        pass  # not allowed here: those that there are must do
    return soft, hard


def _pipe(opened: list[int]) -> tuple[int, int]:
    read, write = os.pipe2(os.O_CLOEXEC)
    opened += read, write
    return read, write


@contextmanager
def _closing_leaked() -> Iterator[None]:
    """multiprocess makes two pipes and leaves them open when the second, or the fork itself, is refused.

    Which numbers they will have is known: the lowest that are free, and nobody else here opens anything meanwhile.
    """
    free: list[int] = []
    try:
        _pipe(free)
        _pipe(free)
    finally:
        for fd in free:
            os.close(fd)
    try:
        yield
    except BaseException:
        for fd in free:
            _close_if_open(fd)
        raise


def _close_if_open(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        pass  # it did not come so far
