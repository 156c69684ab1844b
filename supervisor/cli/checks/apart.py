"""RUNS IN THE USER'S TERMINAL: one function call in a process of its own, with a deadline; nothing of it stays.

What is called may import user code, ask a broker or hang on a dead file system: it can be left at any moment.
It prints nowhere; its answer comes as one line of JSON. Daemons it began come to us when it ends, and end too.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from supervisor.core.escape import line
from supervisor.core.lifecycle.exits import ExitStatus
from supervisor.forked import adopt_orphans, close_all_but, die_with, nowhere, reset_signals

WITHIN = 5.0  # seconds
SWEEP_WITHIN = 1.0  # for what SIGKILL ends


class Answer(NamedTuple):
    """`ok` is None when there was nothing to check. `fix`: what to do about it."""

    ok: bool | None
    text: str
    fix: str = ""


class Failed(Exception):
    """No answer came; says why."""


def call(function: Callable[..., Any], *args: Any, within: float = WITHIN) -> Any:
    """Return what `function` returned, as JSON has it. Raises Failed."""
    adopt_orphans()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # or the other process would have our lines too
    us = os.getpid()
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    pid = os.fork()
    if pid == 0:
        _inside(us, write, function, args)
    os.close(write)
    try:
        found, late = _answer(read, pid, time.monotonic() + within)
    finally:
        os.close(read)
        status = _end(pid)
    if late:
        raise Failed(f"no answer within {within:g} s")
    if found is None:
        raise Failed(f"its process {status.words() if status else 'cannot be killed'}")
    if "error" in found:
        raise Failed(str(found["error"]))
    return found["ok"]


def _inside(parent_pid: int, write: int, function: Callable[..., Any], args: tuple[Any, ...]) -> NoReturn:
    try:
        reset_signals()
        os.setsid()
        die_with(parent_pid)
        close_all_but({write})
        nowhere(0, 1, 2)
        os.set_blocking(write, True)
        answer = {"ok": function(*args)}
    except BaseException as error:  # sys.exit() of a user's module is no end of ours
        answer = {"error": line(f"{type(error).__name__}: {error}")}
    try:
        data = json.dumps(answer).encode() + b"\n"
        while data:
            data = data[os.write(write, data) :]
    finally:
        os._exit(0)


def _answer(read: int, pid: int, end: float) -> tuple[dict[str, Any] | None, bool]:
    """Return the line, and whether the deadline came before it. A grandchild may hold the pipe open."""
    data, pidfd = bytearray(), os.pidfd_open(pid)
    try:
        while not data.endswith(b"\n"):
            ready, _, _ = select.select([read, pidfd], [], [], max(0.0, end - time.monotonic()))
            piece = os.read(read, 1 << 16) if read in ready else b""
            data += piece
            if not piece and (not ready or pidfd in ready):
                return None, not ready
    finally:
        os.close(pidfd)
    found = json.loads(data)
    return found if isinstance(found, dict) else None, False


def _end(pid: int) -> ExitStatus | None:
    """Kill it, its group, and what comes to us in its place. None: it is in the kernel's hands."""
    for kill in (os.killpg, os.kill):  # it may not have made its group yet
        try:
            kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    end = time.monotonic() + SWEEP_WITHIN
    status = _reap(pid, end)
    while (left := _below_us() - {pid}) and time.monotonic() < end:
        for each in left:
            os.kill(each, signal.SIGKILL)
            _reap(each, end)
    if status is None:
        return None
    code = os.waitstatus_to_exitcode(status)
    return ExitStatus(signal=-code) if code < 0 else ExitStatus(code=code)


def _reap(pid: int, end: float) -> int | None:
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        time.sleep(0.001)
    return None


def _below_us() -> set[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as children:
            return {int(each) for each in children.read().split()}
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return set()
