"""RUNS IN THE PARENT: signals as something the epoll can watch.

The interpreter's own C handler writes a byte into a socket, which wakes the loop; what came is counted by the
Python handlers, because a flood may fill the socket, and the byte of a SIGTERM would then be lost.
Forked processes must undo this first (forked.reset_signals), or their signals arrive here.
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


class Signals:
    """Installed for the life of the parent. `fd` is readable when a signal came."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self.fd = self._read.fileno()
        self._came: list[int] = []  # those that end, each; of the others one is as good as many

    def install(self) -> None:
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)  # full is as good a wake-up
        for number in HANDLED:
            signal.signal(number, self._note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)  # blocked since before the exec: what came is heard now

    def take(self) -> list[int]:
        """Return the numbers that came: first those that end, in order and each time; the others once."""
        try:
            for _ in range(16):  # a storm does not keep us here; what is left wakes the loop again
                self._read.recv(4096)
        except OSError:
            pass  # empty; or refused for a moment, and then it stays readable
        came, self._came = self._came, []
        return [number for number in came if number in ENDING] + sorted(set(came) - ENDING)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number in ENDING or number not in self._came:
            self._came.append(number)

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        self._read.close()
        self._write.close()
