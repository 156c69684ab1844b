"""RUNS IN THE PARENT: signals as readable bytes.

The interpreter's own C handler writes each signal's number into a socket that the epoll watches; the Python
handlers do nothing. Forked processes must undo this first (child/boot), or their signals arrive here.
"""

from __future__ import annotations

import signal
import socket
from types import FrameType

HANDLED = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP,
    signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM,
)  # fmt: skip
ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})


def _noted(number: int, frame: FrameType | None) -> None:
    """The byte in the socket is all that is needed."""


class Signals:
    """Installed for the life of the parent. `fd` is readable when a signal came."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self.fd = self._read.fileno()

    def install(self) -> None:
        # a flood of signals may fill the socket: what is lost are repetitions, one of each is there
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in HANDLED:
            signal.signal(number, _noted)

    def take(self) -> list[int]:
        """Return the numbers that came, in order; hangups, child ends and the like once."""
        try:
            numbers = self._read.recv(4096)
        except BlockingIOError:
            return []
        ending = [number for number in numbers if number in ENDING]
        return ending + sorted(set(numbers) - ENDING)

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        self._read.close()
        self._write.close()
