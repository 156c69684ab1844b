"""RUNS IN THE GUARD: a lonely process that outlives the supervisor by a moment.

It blocks on a pipe whose only write end is in the supervisor, and which tells it of each child's session. When that
closes (the supervisor died, in whatever way) it kills what bears the run-id in its environment, daemons included,
and what is in a child's session, whatever its environment: PDEATHSIG reaches only direct children. A fork shows the
environment of the program it was exec'd as, so the run-id of the supervisor's own exec stands in every descendant.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import NoReturn

import setproctitle

from supervisor.forked import close_all_but, nowhere, reset_signals

RUN_ID = "FORKWARDEN_RUN_ID"
QUIET_PASSES = 4  # a process may fork between our look and its death: look until nobody was there, several times
CHASE = 0.003  # seconds
GIVE_UP_AFTER = 10.0


def guard(lifeline: int, run_id: str, title: str, sessions: frozenset[int]) -> NoReturn:
    """Wait for the end of the supervisor, then sweep. `sessions` are those of the children that live by now."""
    try:
        reset_signals()  # they stay blocked: a polite kill of everything must not take the guard first
        os.setsid()
        close_all_but({lifeline})
        nowhere(0, 1, 2)
        setproctitle.setproctitle(title)
        sweep(run_id, sessions=_listen(lifeline, set(sessions)))
    finally:
        os._exit(0)


def _listen(lifeline: int, sessions: set[int]) -> frozenset[int]:
    """Keep account of "+PID" and "-PID" lines until the other end is closed."""
    rest = b""
    while piece := os.read(lifeline, 4096):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            (sessions.add if line.startswith(b"+") else sessions.discard)(int(line[1:]))
    return frozenset(sessions)


def sweep(run_id: str, *, sessions: frozenset[int] = frozenset(), spare: frozenset[int] = frozenset()) -> int:
    """Kill every process of that run or in these sessions, but ourselves and `spare`. Returns how many were killed."""
    mark, spare = f"{RUN_ID}={run_id}".encode(), spare | {os.getpid()}

    def doomed(pid: int) -> bool:
        return pid not in spare and (bears(pid, mark) or (bool(sessions) and _session_of(pid) in sessions))

    killed: set[int] = set()
    quiet, end = 0, time.monotonic() + GIVE_UP_AFTER
    while quiet < QUIET_PASSES and time.monotonic() < end:
        quiet += 1
        for pid in chain(_pids(), _youngest()):
            if doomed(pid):
                quiet = 0
                killed |= {pid} if _kill(pid, doomed) else set()
    return len(killed)


def bearers(run_id: str) -> set[int]:
    """Return the living processes that bear the run-id; a zombie has no environment."""
    mark = f"{RUN_ID}={run_id}".encode()
    return {pid for pid in _pids() if bears(pid, mark)}


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _youngest() -> Iterator[int]:
    """Who forks and exits for ever is gone from a list before that is read: it is always among the youngest."""
    end = time.monotonic() + CHASE
    while time.monotonic() < end:
        with open("/proc/loadavg") as loads:
            newest = int(loads.read().split()[-1])
        yield from range(newest, max(newest - 3, 1), -1)


def bears(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return mark in environ.read().split(b"\0")
    except OSError:  # gone meanwhile, or another user's: as root we can read those too, of a child that became one
        return False


def _session_of(pid: int) -> int:
    """Return the session's number, 0 for a process that is gone or dead."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            state, _, _, session, *_ = stat.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if state in b"ZX" else int(session)


def _kill(pid: int, doomed: Callable[[int], bool]) -> bool:
    """By pidfd, asked again after it is open: the number may belong to somebody else by now."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not doomed(pid):
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(pidfd)
    return True
