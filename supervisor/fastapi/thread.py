"""RUNS IN A WEB PROCESS: what may wait (a socket, a disk, a fork) runs in a thread of its own, never in the event loop.

Not in the loop's own pool: an application that fills it with slow work must not look like a dead supervisor, and
nobody waits for these threads at the end.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def begin(function: Callable[[], T]) -> Future[T]:
    """Run it now, in a thread; never raises."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    try:
        threading.Thread(target=run, name="supervisor.fastapi", daemon=True).start()
    except RuntimeError as error:  # no more threads
        future.set_exception(error)
    return future


async def finished(future: Future[T]) -> T:
    """Wait for it, from any event loop. A caller that is cancelled (a client that left) cancels nothing."""
    return await asyncio.shield(asyncio.wrap_future(future))
