"""RUNS IN PYTEST and in a process forked from it: a piece of the parent's code where it belongs, in one thread.

pytest itself has a second thread (the one that watches the time), and the parent's code refuses to fork beside one.
So such a test calls `alone(function, ...)`: its asserts run in a forked copy, and what fails there fails here.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import traceback
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def alone(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call it in a forked process; return what it returns, raise AssertionError with its traceback when it raises."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _run(write, lambda: function(*args, **kwargs))
    os.close(write)
    try:
        value: T = _result(read, pid)
        return value
    finally:
        os.close(read)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _run(write: int, call: Callable[[], Any]) -> None:
    try:
        answer = True, call()
    except BaseException:  # whatever it is, a forked copy of pytest must never go on
        answer = False, traceback.format_exc()
    try:
        with open(write, "wb") as pipe:
            pickle.dump(answer, pipe)
    finally:
        os._exit(0)


def _result(read: int, pid: int, within: float = 150.0) -> Any:
    """What it said by its end, whoever else may still hold the pipe."""
    end = os.pidfd_open(pid)
    try:
        data = _read(read, end, within)
    finally:
        os.close(end)
    if data is None:
        raise AssertionError(f"process {pid} did not end within {within:g} s")
    if not data:
        raise AssertionError(f"process {pid} died without a word: {os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)}")
    well, value = pickle.loads(data)
    if not well:
        raise AssertionError(f"in the process of its own:\n{value}")
    return value


def _read(read: int, end: int, within: float) -> bytes | None:
    data = b""
    while ready := select.select([read, end], [], [], within)[0]:
        if read not in ready:
            return data
        if not (piece := os.read(read, 1 << 16)):
            return data
        data += piece
    return None
