"""RUNS IN THE PARENT: keeps the guard alive, which outlives us by a moment and leaves nothing behind."""

from __future__ import annotations

import os
from collections.abc import Callable

from supervisor.helper.guard import guard
from supervisor.parent.poller import Lane, Poller
from supervisor.parent.process import SIGCONT, Process, fork_bare

RETRY = 1.0


class Guarding:
    def __init__(self, poller: Poller, run_id: str, say: Callable[[str, str], None]) -> None:
        self._poller = poller
        self._run_id = run_id
        self._say = say
        self._process: Process | None = None
        self._lifeline = -1
        self._sessions: set[int] = set()  # each child leads its own
        self.retry_at: float | None = 0.0

    def pids(self) -> set[int]:
        return {self._process.pid} if self._process else set()

    def keep(self, now: float) -> None:
        """Fork it when there is none: at the start, and after somebody killed it. Called once a second."""
        if self._process:
            self._process.send(SIGCONT)  # one that somebody stopped is none
        if self.retry_at is None or now < self.retry_at:
            return
        try:
            process, lifeline = _fork(self._run_id, frozenset(self._sessions))
            self._poller.register_all({process.pidfd: Lane.GUARD}, otherwise=lambda: _discard(process, lifeline))
        except (OSError, RuntimeError) as error:  # EMFILE, EAGAIN, ENOMEM; a library's thread in the parent
            self.retry_at = now + RETRY
            self._say("warning", f"the guard could not be started ({error}); trying again")
            return
        self.retry_at = None
        self._process, self._lifeline = process, lifeline

    def watch(self, child: int) -> None:
        """A child was forked: what stays in its session dies with us, even without our run-id in its environment."""
        self._sessions.add(child)
        self._tell(f"+{child}\n")

    def forget(self, child: int) -> None:
        """It is reaped: its number may become another's."""
        self._sessions.discard(child)
        self._tell(f"-{child}\n")

    def _tell(self, line: str) -> None:
        if self._process is None:
            return  # the next one is born with the knowledge
        try:
            os.write(self._lifeline, line.encode())
        except BlockingIOError:  # thousands of lines behind: it was stopped for long
            self._process.kill()
        except BrokenPipeError:
            pass  # it is dead, and the next one is born with the knowledge

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


def _discard(process: Process, lifeline: int) -> None:
    process.discard()  # it must die first: the end of the lifeline means a sweep
    os.close(lifeline)


def _fork(run_id: str, sessions: frozenset[int]) -> tuple[Process, int]:
    """Return the guard and the end of its lifeline that is ours alone."""
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        os.set_blocking(write, False)
        return fork_bare("guard", guard, read, run_id, "forkwarden: guard", sessions), write
    except BaseException:
        os.close(write)
        raise
    finally:
        os.close(read)
