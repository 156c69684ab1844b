"""RUNS IN THE PARENT UNDER TEST: between its code and the kernel: counts its effects, and lets one of them fail.

An effect is a call that asks the kernel for something and may be refused. It is named by the function and the place
in supervisor/ that asks, and numbered: `os.open@linefile.py:_open#3` is the third time. The refusal is an error that
this call can really meet: no descriptors, no room, no memory, no processes, a broken disk.

What is forked is no part of the parent any more, but for the helpers that write its state.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import mmap
import os
import resource
import select
import signal
import socket
import stat
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

ROOM = f"{os.sep}supervisor{os.sep}"
IN_HELPERS = "helper/write_state.py:"
DEEPEST = 10  # frames of libraries between our code and the call
_HIGH = 900  # a descriptor number out of the way of those that the code under test is given
_open, _write, _fstat, _close = os.open, os.write, os.fstat, os.close


def _opened(path: Any, flags: int = 0, *_: Any, **__: Any) -> int:
    return errno.ENOSPC if flags & os.O_CREAT else errno.EMFILE


def _is_file(fd: int) -> bool:
    """On a disk: a memfd has no name."""
    found = _fstat(fd)
    return stat.S_ISREG(found.st_mode) and found.st_nlink > 0


def _read(fd: int, *_: Any) -> int | None:
    """A pipe has no disk below it: all that it can say is "not now", when it may."""
    return errno.EIO if _is_file(fd) else None if os.get_blocking(fd) else errno.EAGAIN


def _written(fd: int, *_: Any) -> int | None:
    return errno.ENOSPC if _is_file(fd) else errno.EIO if os.get_blocking(fd) else errno.EAGAIN


def _closed(fd: int) -> int | None:
    """What was written may be refused only now; of what was read nothing is left to say."""
    written = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    return errno.EIO if written and _is_file(fd) else None


def _signalled(pidfd: int, number: int, *_: Any) -> int:
    return errno.EAGAIN if number >= 32 else errno.EPERM  # the queue of real-time signals has a limit


def _opened_anew(file: Any, *_: Any, **__: Any) -> int | None:
    return None if isinstance(file, int) else errno.EMFILE


REFUSALS: dict[str, int | Callable[..., int | None]] = {
    "builtins.open": _opened_anew,
    "fcntl.flock": errno.ENOLCK,
    "mmap.mmap": errno.ENOMEM,
    "os.close": _closed,
    "os.dup": errno.EMFILE,
    "os.fchmod": errno.EIO,
    "os.fork": errno.EAGAIN,
    "os.fstat": errno.EIO,
    "os.fsync": errno.EIO,
    "os.ftruncate": errno.EIO,
    "os.kill": errno.EPERM,
    "os.killpg": errno.EPERM,
    "os.listdir": errno.EMFILE,
    "os.lstat": errno.EIO,
    "os.memfd_create": errno.EMFILE,
    "os.mkdir": errno.ENOSPC,
    "os.mkfifo": errno.ENOSPC,
    "os.open": _opened,
    "os.pidfd_open": errno.EMFILE,
    "os.pipe": errno.EMFILE,
    "os.pipe2": errno.EMFILE,
    "os.posix_fallocate": errno.ENOSPC,
    "os.pread": errno.EIO,
    "os.pwrite": errno.ENOSPC,
    "os.read": _read,
    "os.rename": errno.ENOSPC,
    "os.replace": errno.ENOSPC,
    "os.stat": errno.EIO,
    "os.unlink": errno.EIO,
    "os.write": _written,
    "resource.setrlimit": errno.EPERM,
    "select.poll": errno.ENOMEM,
    "signal.pidfd_send_signal": _signalled,
    "socket.socketpair": errno.EMFILE,
}
OF_EPOLL = {"register": errno.ENOSPC}  # max_user_watches
OF_SOCKET = {
    "__init__": errno.EMFILE,
    "accept": errno.EMFILE,
    "bind": errno.ENOSPC,
    "getsockopt": errno.ENOBUFS,
    "listen": errno.ENOBUFS,
    "recv": errno.ENOMEM,
    "send": errno.ENOBUFS,
    "sendto": errno.ENOBUFS,
}
AFTER = {"os.close"}  # the error comes from an effect that is done all the same
HARMLESS = {
    *("closerange", "get_blocking", "geteuid", "getpid", "getppid", "isatty", "set_blocking", "set_inheritable"),
    *(
        "dup2",
        "makedirs",
        "umask",
        "uname",
        "waitid",
        "waitpid",
        "waitstatus_to_exitcode",
        "access",
        "fsencode",
        "_exit",
        "sysconf",
    ),
}  # of os: answered from the process itself, or it has no way to fail that is not a bug


class _Seam:
    def __init__(self, chosen: str, path: str) -> None:
        self.chosen = chosen
        self.path = path
        self.log = fcntl.fcntl(_log(path), fcntl.F_DUPFD_CLOEXEC, _HIGH)
        self.counts: Counter[str] = Counter()
        self.forked = False

    def refusal(self, name: str, refuse: Any, args: tuple[Any, ...]) -> OSError | None:
        """Count this one; return the error when it is the chosen one."""
        place = _place()
        if place is None or (self.forked and not place.startswith(IN_HELPERS)):
            return None
        code = refuse(*args) if callable(refuse) else refuse
        if code is None:
            return None
        effect = f"{name}@{place}"
        effect = f"{effect}#{self._number(effect)}"
        self._tell(f"{effect}\t{errno.errorcode[code]}\n".encode())
        return OSError(code, os.strerror(code)) if effect == self.chosen else None

    def _number(self, effect: str) -> int:
        """Of a helper's effects those of the helpers before it count, too."""
        self.counts[effect] += 1
        if not self.forked:
            return self.counts[effect]
        with io.open_code(self.path) as log:
            return log.read().count(f"{effect}#".encode()) + 1

    def _tell(self, line: bytes) -> None:
        log = _log(self.path) if self.forked else self.log  # a helper closes what is not its own
        _write(log, line)
        if self.forked:
            _close(log)

    def fork(self) -> None:
        self.forked = True


def _log(path: str) -> int:
    return _open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _place() -> str | None:
    """Whose effect it is: the innermost frame in our code. None: an import, or nothing of ours."""
    frame = sys._getframe(3)
    for _ in range(DEEPEST):
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib"):
            return None
        if ROOM in file and "site-packages" not in file:
            return f"{file.rpartition(ROOM)[2]}:{frame.f_code.co_name}"
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return None


def _wrapped(seam: _Seam, name: str, real: Callable[..., Any], refuse: Any, *, method: bool = False) -> Any:
    def effect(*args: Any, **kwargs: Any) -> Any:
        error = seam.refusal(name, refuse, args[1:] if method else args)
        if error and name not in AFTER:
            raise error
        value = real(*args, **kwargs)
        if error:
            raise error
        return value

    return effect


def _epoll(seam: _Seam) -> Any:
    real = select.epoll

    class Epoll:
        def __init__(self) -> None:
            self._real = real()

        def __getattr__(self, name: str) -> Any:
            found = getattr(self._real, name)
            return _wrapped(seam, f"epoll.{name}", found, OF_EPOLL[name]) if name in OF_EPOLL else found

    return Epoll


def install(chosen: str, log: str) -> None:
    """From now on. `chosen`: the effect that fails, "" for none; each is a line in `log`."""
    seam = _Seam(chosen, log)
    modules = {"os": os, "fcntl": fcntl, "mmap": mmap, "resource": resource, "select": select}
    modules |= {"signal": signal, "socket": socket, "builtins": builtins}
    for name, refuse in REFUSALS.items():
        module, _, function = name.partition(".")
        setattr(modules[module], function, _wrapped(seam, name, getattr(modules[module], function), refuse))
    for function, code in OF_SOCKET.items():
        real = getattr(socket.socket, function)
        setattr(socket.socket, function, _wrapped(seam, f"socket.{function}", real, code, method=True))
    setattr(select, "epoll", _epoll(seam))  # noqa: B010  a type is not assigned to, says mypy
    os.register_at_fork(after_in_child=seam.fork)
