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

from supervisor.forked import close_all_but, reset_signals

RUN_ID = "FORKWARDEN_RUN_ID"
QUIET_PASSES = 2  # a process may fork between our look and its death: look until nobody was there, twice
GIVE_UP_AFTER = 10.0


def guard(lifeline: int, run_id: str, title: str) -> NoReturn:
    """Wait for the end of the supervisor, then sweep."""
    try:
        reset_signals()
        os.setsid()
        close_all_but({lifeline})
        setproctitle.setproctitle(title)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # a polite kill of everything must not take the guard first
        os.read(lifeline, 1)
        sweep(run_id)
    finally:
        os._exit(0)


def sweep(run_id: str, spare: frozenset[int] = frozenset()) -> int:
    """Kill every process of that run but ourselves and `spare`. Returns how many were killed."""
    killed: set[int] = set()
    quiet, end = 0, time.monotonic() + GIVE_UP_AFTER
    while quiet < QUIET_PASSES and time.monotonic() < end:
        found = bearers(run_id) - spare - {os.getpid()}
        quiet = 0 if found else quiet + 1
        for pid in found:
            _kill(pid, run_id)
        killed |= found
        if found:
            time.sleep(0.001)
    return len(killed)


def bearers(run_id: str) -> set[int]:
    """Return the living processes of our user that bear the run-id; a zombie has no environment."""
    mark = f"{RUN_ID}={run_id}".encode()
    return {int(name) for name in os.listdir("/proc") if name.isdigit() and bears(int(name), mark)}


def bears(pid: int, mark: bytes) -> bool:
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
            return False
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return mark in environ.read().split(b"\0")
    except OSError:  # gone meanwhile, or not ours to read
        return False


def _kill(pid: int, run_id: str) -> None:
    """By pidfd, asked again after it is open: the number may belong to somebody else by now."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if bears(pid, f"{RUN_ID}={run_id}".encode()):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        pass
    finally:
        os.close(pidfd)
