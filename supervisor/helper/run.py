"""RUNS IN A HELPER: from the fork to the result on a pipe."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn

import setproctitle

from supervisor.forked import adopt_orphans, close_all_but, die_with, nowhere, reset_signals

MAX_RESULT = 8 * 1024 * 1024


def run(parent_pid: int, result: int, name: str, function: Callable[..., Any], args: tuple[Any, ...]) -> NoReturn:
    """Call `function`, write {"ok": what it returned} or {"error": why} as JSON, and end."""
    try:
        enter(parent_pid, name, {result})
        answer = _json({"ok": function(*args)})
    except BaseException as error:
        answer = _json({"error": f"{type(error).__name__}: {error}"[:4096]})
    try:
        _write_all(result, answer)
    finally:
        os._exit(0)


def _json(answer: dict[str, Any]) -> bytes:
    data = json.dumps(answer).encode()
    if len(data) > MAX_RESULT:
        raise ValueError(f"its result has {len(data)} bytes, {MAX_RESULT} bytes are allowed")
    return data


def enter(parent_pid: int, name: str, keep: set[int]) -> None:
    """The boot order of a helper. It prints nowhere: what it has to say is its result."""
    reset_signals()
    os.setsid()
    die_with(parent_pid)
    adopt_orphans()
    # a handler that we inherited holds the number of a descriptor that is about to mean something else
    logging.getLogger().handlers.clear()
    close_all_but(keep)
    nowhere(0, 1, 2)
    setproctitle.setproctitle(f"forkwarden: {name}")
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
