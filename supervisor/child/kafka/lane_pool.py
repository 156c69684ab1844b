"""RUNS IN A CHILD: lanes: threads for a plain handler, tasks in one event loop for an async one.

A lane makes one attempt and leaves its result; it decides nothing and touches no client.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from supervisor.child.kafka.calling import Calling, Result
from supervisor.child.kafka.handover import Item

Outcome = tuple[object, Result | BaseException]


class Pool(Protocol):
    def submit(self, tag: object, items: Sequence[Item], attempt: int) -> None:
        """Begin; `tag` comes back with the result."""

    def results(self) -> list[Outcome]:
        """Return what has come since the last call. What is no Exception, or MemoryError, ends the process."""


class _Results:
    """What lanes leave and the main thread takes; appending and taking need no lock."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._found: deque[Outcome] = deque()

    def leave(self, tag: object, result: Result | BaseException) -> None:
        self._found.append((tag, result))
        self._wake()

    def results(self) -> list[Outcome]:
        return [self._found.popleft() for _ in range(len(self._found))]


class Threads(_Results):
    def __init__(self, calling: Calling, wake: Callable[[], None], lanes: int) -> None:
        super().__init__(wake)
        self._calling = calling
        self._pool = ThreadPoolExecutor(lanes, thread_name_prefix="lane")

    def submit(self, tag: object, items: Sequence[Item], attempt: int) -> None:
        self._pool.submit(self._run, tag, items, attempt)

    def _run(self, tag: object, items: Sequence[Item], attempt: int) -> None:
        try:
            self.leave(tag, self._calling(items, attempt))
        except BaseException as e:
            self.leave(tag, e)


class Tasks(_Results):
    """The loop has a thread of its own: the main thread stays free for signals and for what has to be decided."""

    def __init__(self, calling: Calling, wake: Callable[[], None]) -> None:
        super().__init__(wake)
        self._calling = calling
        self._loop = asyncio.new_event_loop()
        self._running: set[asyncio.Task[None]] = set()  # a loop itself holds its tasks only weakly
        threading.Thread(target=self._loop.run_forever, name="lanes", daemon=True).start()

    def submit(self, tag: object, items: Sequence[Item], attempt: int) -> None:
        self._loop.call_soon_threadsafe(self._begin, tag, items, attempt)

    def _begin(self, tag: object, items: Sequence[Item], attempt: int) -> None:
        task = self._loop.create_task(self._run(tag, items, attempt))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, tag: object, items: Sequence[Item], attempt: int) -> None:
        try:
            self.leave(tag, await self._calling.awaited(items, attempt))
        except BaseException as e:
            self.leave(tag, e)
