"""RUNS IN THE PARENT: processes that came to us without being ours: what a dead child left behind.

The parent is a subreaper, as every child is for its own descendants; so a child's daemons come to us exactly
when the child dies. They are killed and reaped before a new copy of the child starts. As PID 1 of a container
we also inherit strangers of others: those are only reaped.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection

from supervisor.parent.poller import Lane, Poller


class Strangers:
    """`ours` tells the pids of children, helpers and guard; `bears_run_id` tells descendants from others' orphans."""

    def __init__(
        self, poller: Poller, ours: Callable[[], Collection[int]], bears_run_id: Callable[[int], bool]
    ) -> None:
        self._poller = poller
        self._ours = ours
        self._bears_run_id = bears_run_id
        self._left_by: dict[int, tuple[int, frozenset[str]]] = {}  # pidfd -> pid, the children that may have left it
        self._unwatched: frozenset[str] = frozenset()  # who left what was killed and has no descriptor to tell its end
        self._look_again = False  # also where nobody is known to have left it
        self._below_us = Children()

    def __bool__(self) -> bool:
        return bool(self._left_by) or self._look_again

    def of(self, name: str) -> list[int]:
        """Return the pids of what `name` left behind and what still lives of it."""
        return [pid for pid, names in self._left_by.values() if name in names]

    def left(self) -> list[tuple[int, list[str]]]:
        """Return the pids that still live, each with the children that may have left it."""
        return [(pid, sorted(names)) for pid, names in self._left_by.values()]

    def find(self, names: Collection[str]) -> bool:
        """Children `names` were just reaped: kill what they left. True when anything is left to wait for."""
        self.reap_dead()
        known = {pid for pid, _ in self._left_by.values()} | set(self._ours())
        for pid in self._below_us.pids() - known:
            if os.getpid() != 1 or self._bears_run_id(pid):
                self._kill(pid, frozenset(names))
        return any(names_of & set(names) for _, names_of in self._left_by.values())

    def gone(self, pidfd: int) -> frozenset[str]:
        """A stranger died: reap it. Returns the children of which nothing is left now."""
        pid, names = self._left_by.pop(pidfd)
        self._poller.unregister(pidfd)
        os.close(pidfd)
        _reap(pid)
        self.find(names)  # its own children have come to us in its place
        return frozenset(name for name in names if not self.of(name))

    def reap_dead(self) -> None:
        """SIGCHLD: reap dead strangers. One of our own at the head of the line is reaped by its pidfd first."""
        while (dead := _peek()) and dead not in self._ours() and dead not in {pid for pid, _ in self._left_by.values()}:
            _reap(dead)
        if self._look_again:
            names, self._unwatched, self._look_again = self._unwatched, frozenset(), False
            self.find(names)  # the children of what died unwatched have come to us in its place

    def _kill(self, pid: int, names: frozenset[str]) -> None:
        os.kill(pid, signal.SIGKILL)  # it is our child until we reap it: nobody else can have its number
        try:
            pidfd = os.pidfd_open(pid)
            self._poller.register_all({pidfd: Lane.STRANGER}, otherwise=lambda: os.close(pidfd))
        except OSError:  # no descriptor is left to watch it by, or no room to do so
            _reap_soon(pid)
            self._unwatched, self._look_again = self._unwatched | names, True
            return
        self._left_by[pidfd] = pid, names


class Children:
    """Our own children, the living and the dead. The file is held open: it must be readable when no other can be."""

    def __init__(self) -> None:
        try:
            self._file = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # a kernel without CONFIG_PROC_CHILDREN
            self._file = -1

    def pids(self) -> set[int]:
        if self._file >= 0:
            try:
                return {int(each) for each in self._read().split()}
            except OSError:
                pass  # the kernel had no memory for the list: the long way round
        return {int(each) for each in os.listdir("/proc") if each.isdigit() and _parent_of(each) == os.getpid()}

    def _read(self) -> bytes:
        data = b""
        while piece := os.pread(self._file, 1 << 16, len(data)):
            data += piece
        return data


def end_all(spare: Collection[int], within: float) -> None:
    """A bug of ours: kill whatever is below us, and what comes to us in its place, until nobody is left."""
    below_us, end = Children(), time.monotonic() + within
    while (left := below_us.pids() - set(spare)) and time.monotonic() < end:
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            _reap(pid)
        time.sleep(0.001)


def _parent_of(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[1])
    except OSError:
        return None


def _peek() -> int | None:
    """Return the pid of a dead child without taking its status."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found else None


def _reap(pid: int) -> bool:
    """Reap it if it is dead; False: it is not."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True  # reaped already


def _reap_soon(pid: int) -> None:
    """Who was killed is dead within a moment, or in the kernel's hands and never."""
    end = time.monotonic() + 0.05
    while not _reap(pid) and time.monotonic() < end:
        time.sleep(0.001)
