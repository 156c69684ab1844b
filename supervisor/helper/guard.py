"""RUNS IN THE GUARD: a lonely process that outlives the supervisor by a moment.

It blocks on a pipe whose only write end is in the supervisor. When that closes (the supervisor died, in
whatever way) it kills every process that bears the run-id in its environment, daemons included: PDEATHSIG
reaches only direct children. A fork shows the environment of the program it was exec'd as, so the run-id of
the supervisor's own exec stands in every descendant.
"""

from __future__ import annotations

import os
import signal
import time
from typing import NoReturn

import setproctitle

from supervisor.forked import close_all_but, nowhere, reset_signals

RUN_ID = "FORKWARDEN_RUN_ID"
QUIET_PASSES = 4  # a process may fork between our look and its death: look until nobody was there, several times
GIVE_UP_AFTER = 10.0


def guard(lifeline: int, run_id: str, title: str) -> NoReturn:
    """Wait for the end of the supervisor, then sweep."""
    try:
        reset_signals()  # they stay blocked: a polite kill of everything must not take the guard first
        os.setsid()
        close_all_but({lifeline})
        nowhere(0, 1, 2)
        setproctitle.setproctitle(title)
        os.read(lifeline, 1)
        sweep(run_id)
    finally:
        os._exit(0)


def sweep(run_id: str, spare: frozenset[int] = frozenset()) -> int:
    """Kill every process of that run but ourselves and `spare`. Returns how many were killed."""
    mark = f"{RUN_ID}={run_id}".encode()
    killed, quiet, end = 0, 0, time.monotonic() + GIVE_UP_AFTER
    while quiet < QUIET_PASSES and time.monotonic() < end:
        found = [_kill(pid, mark) for pid in _pids() if bears(pid, mark) and pid not in spare and pid != os.getpid()]
        killed += sum(found)
        quiet = 0 if found else quiet + 1
        if found:
            time.sleep(0.001)
    return killed


def bearers(run_id: str) -> set[int]:
    """Return the living processes of our user that bear the run-id; a zombie has no environment."""
    mark = f"{RUN_ID}={run_id}".encode()
    return {pid for pid in _pids() if bears(pid, mark)}


def _pids() -> list[int]:
    """The youngest first: who forks and exits for ever is met before it has done so again."""
    return sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True)


def bears(pid: int, mark: bytes) -> bool:
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
            return False
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return mark in environ.read().split(b"\0")
    except OSError:  # gone meanwhile, or not ours to read
        return False


def _kill(pid: int, mark: bytes) -> bool:
    """By pidfd, asked again after it is open: the number may belong to somebody else by now."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not bears(pid, mark):
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(pidfd)
    return True
