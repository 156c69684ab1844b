"""RUNS IN EVERY FORKED PROCESS, child or helper: what its first lines undo, with all signals still blocked."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` makes an enum of every number: 64 a call, a fifth of a fork
import ctypes
import os
import signal
import sys
from collections.abc import Collection

PARENT_GONE = 71
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def reset_signals() -> None:
    """The wakeup fd is the parent's: a SIGTERM to us would be written into its socket and end it."""
    signal.set_wakeup_fd(-1)
    for number in range(1, signal.NSIG):
        if callable(_signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    # the terminal sends these to everybody in the foreground; what to do about them is the parent's decision
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def die_with(parent_pid: int) -> None:
    """No life without the parent: the kernel kills us when the thread that forked us ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the line above could notice
        os._exit(PARENT_GONE)


def adopt_orphans() -> None:
    """Become the parent of whatever our descendants leave behind, also of daemons (PR_SET_CHILD_SUBREAPER)."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def give_back_memory() -> None:
    """glibc keeps the pages of what was freed."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)


def close_all_but(keep: Collection[int]) -> None:
    """Siblings' pipes, pidfds, the epoll (it is shared!), the control socket, the lock: none is ours."""
    start = 3
    for fd in sorted(keep):
        os.closerange(start, fd)
        start = fd + 1
    os.closerange(start, 1 << 30)


def nowhere(*streams: int) -> None:
    """Let these of 0, 1 and 2 lead to /dev/null. The supervisor's terminal or pipe is not kept open by us.

    multiprocess gives Python another sys.stdin but leaves descriptor 0 where it was; ours is 0 again.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for fd in streams:
        os.dup2(null, fd)
    os.close(null)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  for the rest of the process
