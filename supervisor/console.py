"""RUNS ANYWHERE: writes lines to the supervisor's stderr, and never waits for who reads it.

The descriptor is shared with the shell and with the children, so it cannot be made non-blocking itself.
A pipe or terminal is opened a second time (/proc/self/fd), with a flag of its own; a socket takes MSG_DONTWAIT;
a file never waits.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import sys

PIPE_BUF = 4096  # up to here a write to a pipe is all or nothing
CUT = " …(cut)\n"


class Console:
    def __init__(self, fd: int | None) -> None:
        self.dropped = 0  # lines since the last one that was taken
        self._rest = b""  # of a line that a terminal took in part
        self._socket: socket.socket | None = None
        self._fd = fd
        self._owned = False
        self._prepare()

    @property
    def gone(self) -> bool:
        """Nobody will ever read it: it was closed, or its reader left."""
        return self._fd is None

    def write(self, line: str) -> bool:
        """Write one line (without its newline) if that does not block. False: it was dropped."""
        if self._fd is None:
            return False
        said = f"{self.dropped} lines dropped: nobody took them\n" if self.dropped else ""
        if self._finish() and self._put(_fit(said + line + "\n")):
            self.dropped = 0
            return True
        self.dropped += 1
        return False

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        elif self._owned and self._fd is not None:
            os.close(self._fd)
        self._fd = None

    def _prepare(self) -> None:
        if self._fd is None:
            return
        try:
            mode = os.fstat(self._fd).st_mode
            if stat.S_ISSOCK(mode):
                self._socket = socket.socket(fileno=os.dup(self._fd))
            elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
                self._open_again(self._fd)
        except OSError:  # closed before we began
            self._fd = None

    def _open_again(self, fd: int) -> None:
        try:
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            self._fd = os.open(f"/proc/self/fd/{fd}", flags)
            self._owned = True
        except OSError:
            pass  # another user's terminal, or no /proc: poll before each write must do

    def _finish(self) -> bool:
        return not self._rest or (self._put(self._rest) and not self._rest)

    def _put(self, data: bytes) -> bool:
        """Take care of all of `data`: what a terminal leaves over is kept. False: nothing of it was sent."""
        fd = self._fd
        try:
            if fd is None or not self._writable(fd):
                return False
            sent = self._send(fd, data)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:  # EPIPE, EIO: the reader or the terminal is gone for good; the log file goes on
            self.close()
            return False
        self._rest = data[sent:]
        return True

    def _writable(self, fd: int) -> bool:
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        return bool(poll.poll(0))

    def _send(self, fd: int, data: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        return os.write(fd, data)


def _fit(text: str) -> bytes:
    data = text.encode(errors="backslashreplace")
    if len(data) <= PIPE_BUF:
        return data
    end = CUT.encode()
    return data[: PIPE_BUF - len(end)].decode(errors="ignore").encode() + end


def open_standard_streams() -> None:
    """Started with 0, 1 or 2 closed, the next descriptor would take that number, and be written to."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  for good, all three
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
