"""RUNS IN A WEB PROCESS: whose turn it is to start the supervisor: a lock on config.toml, freed with its holder.

Not needed for the truth (the supervisor has a lock of its own), but eight web processes would start eight of them.
"""

from __future__ import annotations

import fcntl
import os

WITHIN = 120.0  # seconds to wait for the others; somebody else may have a lock on that file, for his own reasons


class Turn:
    def __init__(self, file: str) -> None:
        self._file = file
        self._fd = -1
        self._since: float | None = None  # when we began to wait, monotonic

    def take(self, now: float) -> bool:
        if self._since is None:
            self._since = now
        try:
            self._fd = os.open(self._file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._close()
            return now - self._since >= WITHIN
        except OSError:
            pass  # not ours to read, or on a file system without locks: the supervisor's lock decides
        return True

    def give_back(self) -> None:
        self._since = None
        self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
