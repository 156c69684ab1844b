"""RUNS IN THE PARENT: starts helpers and hears their results: whatever may block, run users' code or need a library.

A helper is one function call in a forked process; its result comes back as JSON over a pipe. It has a deadline.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from supervisor.helper.run import MAX_RESULT, run
from supervisor.parent.poller import Lane, Poller
from supervisor.parent.process import Process, fork_bare


@dataclass(frozen=True, slots=True)
class Outcome:
    """`value` is what the function returned; otherwise `error` says why there is none."""

    value: Any = None
    error: str | None = None


@dataclass(slots=True, eq=False)
class _Helper:
    name: str
    process: Process
    result: int
    until: float
    within: float
    done: Callable[[Outcome], None]
    data: bytearray = field(default_factory=bytearray)
    late: bool = False


class Helpers:
    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._by_fd: dict[int, _Helper] = {}  # both of its descriptors: the result's and the pidfd

    def start(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        within: float,
        now: float,
        done: Callable[[Outcome], None],
    ) -> None:
        """Call `function(*args)` in a process of its own; `done` is called once, in a later turn or at once."""
        try:
            process, read = _fork(name, function, args)
            lanes = {read: Lane.HELPER, process.pidfd: Lane.HELPER}
            self._poller.register_all(lanes, otherwise=lambda: _discard(process, read))
        except (OSError, RuntimeError) as error:  # EMFILE, EAGAIN, ENOMEM; a library's thread in the parent
            done(Outcome(error=f"{name} could not be started: {error}"))
            return
        self._by_fd |= dict.fromkeys(lanes, _Helper(name, process, read, now + within, within, done))

    def pids(self) -> set[int]:
        return {helper.process.pid for helper in self._by_fd.values()}

    def on_event(self, fd: int) -> None:
        helper = self._by_fd.get(fd)
        if helper is None:
            return
        if fd == helper.process.pidfd:
            self._finish(helper)
        elif self._read(helper) == b"":
            self._forget(fd)

    def deadline(self) -> float | None:
        return min((helper.until for helper in self._by_fd.values() if not helper.late), default=None)

    def shift(self, gap: float) -> None:
        """The supervisor was frozen for `gap` seconds, and what it started perhaps with it."""
        for helper in set(self._by_fd.values()):
            helper.until += gap

    def expire(self, now: float) -> None:
        for helper in set(self._by_fd.values()):
            if now >= helper.until and not helper.late:
                helper.late = True
                helper.process.kill()

    def kill_all(self) -> None:
        """At the end: nobody needs their results any more."""
        for helper in set(self._by_fd.values()):
            helper.process.kill()
            self._finish(helper, tell=False)

    def _read(self, helper: _Helper) -> bytes | None:
        """Take what has come: None is nothing at the moment, b"" the end."""
        try:
            piece = os.read(helper.result, 1 << 20)
        except BlockingIOError:
            return None
        helper.data += piece
        if len(helper.data) > MAX_RESULT:
            helper.process.kill()
            return b""
        return piece

    def _finish(self, helper: _Helper, *, tell: bool = True) -> None:
        while self._read(helper):
            pass
        for fd in (helper.result, helper.process.pidfd):
            self._forget(fd)
        helper.process.reap()
        helper.process.close()
        os.close(helper.result)
        if tell:
            helper.done(_outcome(helper))

    def _forget(self, fd: int) -> None:
        if self._by_fd.pop(fd, None):
            self._poller.unregister(fd)


def _fork(name: str, function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Process, int]:
    """Return the process and the pipe on which its result comes."""
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        process = fork_bare(name, run, os.getpid(), write, name, function, args)
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    os.set_blocking(read, False)
    return process, read


def _discard(process: Process, read: int) -> None:
    process.discard()
    os.close(read)


def _outcome(helper: _Helper) -> Outcome:
    if helper.late:
        return Outcome(error=f"{helper.name} took longer than {helper.within:g} s")
    if len(helper.data) > MAX_RESULT:
        return Outcome(error=f"{helper.name}: its result is larger than {MAX_RESULT} bytes")
    try:
        answer = json.loads(helper.data)
    except (ValueError, RecursionError):
        answer = None
    match answer:  # user code that a helper imports can write there itself: any shape may come
        case {"error": str(error)}:
            return Outcome(error=error)
        case {"ok": value}:
            return Outcome(value=value)
    return Outcome(error=f"{helper.name} died without a result")
