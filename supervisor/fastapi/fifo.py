"""RUNS IN A WEB PROCESS: our end of the FIFO that the supervisor reads (core/held): as long as we hold it, it stays."""

from __future__ import annotations

import os
import select
import stat

from supervisor import client
from supervisor.core.paths import Paths

_HOLD = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class Fifo:
    def __init__(self, config: str) -> None:
        self._config = config
        self._fd = -1
        self._path = ""

    @property
    def held(self) -> bool:
        return self._fd >= 0

    @property
    def read(self) -> bool:
        """Whether the supervisor still reads it: alive, though it may be frozen."""
        poll = select.poll()
        poll.register(self._fd, 0)
        return not poll.poll(0)  # POLLERR comes when the last reader has gone, unasked for

    @property
    def removed(self) -> bool:
        """An orderly end takes the name away."""
        return not os.path.lexists(self._path)

    def hold(self) -> bool:
        """Open it where a supervisor of this config.toml reads it."""
        for socket in client.sockets(client.state_dir(self._config)):
            path = Paths(os.path.dirname(socket)).keepers
            self._fd = _open(path)
            if self.held:
                self._path = path
                return True
        return False

    def release(self) -> None:
        if self.held:
            os.close(self._fd)
        self._fd = -1


def _open(path: str) -> int:
    """Return -1 where nobody reads: opening for writing alone fails then (ENXIO, fifo(7))."""
    try:
        fd = os.open(path, _HOLD)
    except OSError:
        return -1
    if not _greeted(fd):
        os.close(fd)
        return -1
    return fd


def _greeted(fd: int) -> bool:
    """A byte says that we came, also if we are gone at the supervisor's next look."""
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode) and os.write(fd, b"\n") == 1
    except BlockingIOError:
        return True  # others said it often enough
    except OSError:
        return False  # it ended just now
