"""RUNS IN THE PARENT: the control socket: bound without a window, kept in its place, never out of descriptors.

Bound under a temporary name with mode 0600 and then renamed: a socket of an earlier life is replaced in one step,
and nobody ever meets one that is open to others (gunicorn changes the mode after bind). Never an abstract
address, never TCP. One descriptor is held back, so that a client can be turned away when all others are used up.
"""

from __future__ import annotations

import errno
import os
import socket

from supervisor.core.errors import SupervisorError

BACKLOG = 128


class OutOfFiles(Exception):
    """No descriptor is left for a client."""


class Listener:
    def __init__(self, path: str) -> None:
        """Bind `path`. Raises SupervisorError when that is not possible."""
        self.path = path
        try:
            self._socket = _bind(path)
        except OSError as error:
            raise SupervisorError(f"{path}: cannot make the control socket: {error.strerror or error}") from error
        self._inode = _inode(path)
        self._reserve = _spare()

    def fileno(self) -> int:
        return self._socket.fileno()

    def accept(self) -> socket.socket | None:
        """Return the next client, non-blocking; None when there is none. Raises OutOfFiles."""
        try:
            client, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return None
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                raise OutOfFiles from error
            raise
        client.setblocking(False)
        return client

    def turn_away(self, farewell: bytes) -> None:
        """With the descriptor held back, take who is there, say `farewell`, close: they need not wait in vain."""
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
            try:
                self._take_all(farewell)
            except OutOfFiles:
                pass  # somebody else took the descriptor; who is there waits
        self._reserve = _spare()

    def _take_all(self, farewell: bytes) -> None:
        for _ in range(BACKLOG):
            client = self.accept()
            if client is None:
                return
            say(client, farewell)
            client.close()

    def in_place(self) -> bool:
        """Whether a client that opens the path meets this socket."""
        return self._inode is not None and _inode(self.path) == self._inode

    def bind_again(self) -> None:
        """Make the path lead here again, its folder too if that is gone. Raises OSError."""
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        fresh = _bind(self.path)
        self._socket.close()
        self._socket = fresh
        self._inode = _inode(self.path)

    def close(self) -> None:
        if self.in_place():
            try:
                os.unlink(self.path)
            except OSError:
                pass  # a socket that stays behind is harmless: the next start replaces it
        self._socket.close()
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None


def say(client: socket.socket, text: bytes) -> None:
    """Send what the kernel takes at once; a client that is turned away is not waited for."""
    try:
        client.send(text, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError:
        pass  # it left already, or does not read


def _bind(path: str) -> socket.socket:
    fresh = f"{path}.new"  # the lock makes us the only one who binds here
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        _remove(fresh)
        before = os.umask(0o177)
        try:
            made.bind(fresh)
        finally:
            os.umask(before)
        made.listen(BACKLOG)  # before the rename: a client never meets a socket that refuses
        os.rename(fresh, path)
    except BaseException:
        made.close()
        raise
    return made


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # the usual case


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _spare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # tried again at the next client
