"""RUNS IN THE PARENT: keeps the guard alive, which outlives us by a moment and leaves nothing behind."""

from __future__ import annotations

import os
from collections.abc import Callable

from supervisor.helper.guard import guard
from supervisor.parent.poller import Lane, Poller
from supervisor.parent.process import Process, fork_bare

RETRY = 1.0


class Guarding:
    def __init__(self, poller: Poller, run_id: str, say: Callable[[str, str], None]) -> None:
        self._poller = poller
        self._run_id = run_id
        self._say = say
        self._process: Process | None = None
        self._lifeline = -1
        self.retry_at: float | None = 0.0

    def pids(self) -> set[int]:
        return {self._process.pid} if self._process else set()

    def keep(self, now: float) -> None:
        """Fork it when there is none: at the start, and after somebody killed it."""
        if self.retry_at is None or now < self.retry_at:
            return
        try:
            self._process, self._lifeline = _fork(self._run_id)
        except (OSError, RuntimeError) as error:  # EMFILE, EAGAIN, ENOMEM; a library's thread in the parent
            self.retry_at = now + RETRY
            self._say("warning", f"the guard could not be started ({error}); trying again")
            return
        self.retry_at = None
        self._poller.register(self._process.pidfd, Lane.GUARD)

    def died(self, now: float) -> None:
        self._bury()
        self.retry_at = now
        self._say("warning", "the guard was killed; starting another one")
        self.keep(now)

    def dismiss(self) -> None:
        """At a clean end there is nothing to guard. It must die first: the end of the lifeline means a sweep."""
        if self._process:
            self._process.kill()
            self._bury()

    def _bury(self) -> None:
        assert self._process is not None
        self._poller.unregister(self._process.pidfd)
        self._process.reap()
        self._process.close()
        os.close(self._lifeline)
        self._process = None


def _fork(run_id: str) -> tuple[Process, int]:
    """Return the guard and the end of its lifeline that is ours alone."""
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        return fork_bare("guard", guard, read, run_id, "forkwarden: guard"), write
    except BaseException:
        os.close(write)
        raise
    finally:
        os.close(read)
