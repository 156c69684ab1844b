"""RUNS IN THE PARENT: who holds the FIFO `keepers` open: web processes, whose background work this is.

It is there whoever started us: its reader is how others see that we live. Started for them (`start --while-held`)
we end when the last has gone and none came back in time. It has no lane in the epoll: the end of the last holder
would be reported at every turn; the look of every second costs one read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import MutableMapping

from supervisor.core.errors import SupervisorError
from supervisor.core.held import CONSOLE_FD, FIRST, LINGER, WHILE_HELD

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class Keepers:
    """`needed`: we live for the holders only."""

    def __init__(self, path: str, *, needed: bool) -> None:
        """Raises SupervisorError when there can be no FIFO."""
        self.needed = needed
        self._path = path
        self._until: float | None = None  # monotonic
        try:
            self._fd = _open(path)
        except OSError as error:
            raise SupervisorError(f"{path}: cannot make the FIFO of the web processes: {error.strerror}") from error

    def all_gone(self, now: float) -> bool:
        """Once a second. Whether those for whom we live have been away for too long."""
        self._stay_in_place()
        if not self.needed:
            return False
        held = self._held()
        if held or self._until is None:
            self._until = now + (LINGER if held else FIRST)
        return now >= self._until

    def close(self) -> None:
        """An orderly end takes the name away: who held it sees that nobody was killed."""
        try:
            if self._in_place():
                os.unlink(self._path)
        except OSError:
            pass  # a folder that became read-only: they take us for killed, and say so
        os.close(self._fd)

    def _held(self) -> bool:
        """Who comes writes a byte: so we hear also of those who left between two looks."""
        try:
            return bool(os.read(self._fd, 65536))
        except BlockingIOError:
            return True

    def _stay_in_place(self) -> None:
        if self._in_place():
            return
        try:
            fresh = _open(self._path)
        except (OSError, SupervisorError):
            return  # no folder to make it in; those who hold the old one still do
        os.close(self._fd)  # only now: there was no moment without a reader
        self._fd = fresh

    def _in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._fd), os.lstat(self._path))
        except OSError:
            return False


def _open(path: str) -> int:
    """What a killed supervisor left is taken over: those who hold it need not even notice."""
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        pass
    if not stat.S_ISFIFO(os.lstat(path).st_mode):
        raise SupervisorError(f"{path}: expected a FIFO, found something else; remove it")
    return os.open(path, _READ)


def needed(env: MutableMapping[str, str]) -> bool:
    """Whether we were started for web processes; our children need not know."""
    return bool(env.pop(WHILE_HELD, ""))


def console(env: MutableMapping[str, str]) -> int:
    """Return where our lines go: what the web process gave us for it, else a copy of stderr."""
    try:
        fd = int(env.pop(CONSOLE_FD, ""))
        os.set_inheritable(fd, False)
    except (ValueError, OSError):
        return os.dup(2)
    return fd


def up(console: int) -> None:
    """The start is over: stderr, on which the web process waited for its errors, is that of everybody else."""
    os.dup2(console, 2)
