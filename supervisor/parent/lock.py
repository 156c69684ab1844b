"""RUNS IN THE PARENT: one supervisor per state folder: flock(2) on a file, held as long as the process lives.

What stands in the file is for people and for the sweep of leftovers; no pid in it is ever trusted or signalled.
A child must close its copy of the descriptor: a lock is held until the last copy is gone.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from dataclasses import dataclass, field
from typing import Any, Literal

from supervisor.core.errors import AlreadyRunning, SupervisorError
from supervisor.core.escape import line

MAX_BYTES = 4096
_MAX_UNSWEPT = 16


@dataclass(slots=True)
class Lock:
    """Held until `release` or the end of the process."""

    path: str
    fd: int
    about: dict[str, Any]  # what stands in the file
    unswept: tuple[str, ...] = field(default=())  # run-ids of earlier lives whose leftovers may still run
    problem: str | None = None  # for `status`: the file could not be written

    def announce(self, socket: str) -> None:
        """Write where the control socket is, once that is known."""
        self.about["socket"] = socket
        self._write()

    def swept(self) -> None:
        """The leftovers of earlier lives are gone: forget their run-ids."""
        self.unswept = ()
        self._write()

    def check(self) -> Literal["held", "renewed", "lost"]:
        """Once a second, one stat. When the file was removed, lock a new one; "lost": another supervisor was faster."""
        if _is_at(self.fd, self.path):
            if self.problem:
                self._write()  # without our run-id in it the next start cannot sweep what we leave behind
            return "held"
        try:
            fresh = _open_and_lock(self.path)
        except AlreadyRunning:
            return "lost"
        except (OSError, SupervisorError):
            return "held"  # no folder to make it in: nobody else can either
        self.fd, before = fresh, self.fd
        os.close(before)
        self._write()
        return "renewed"

    def release(self) -> None:
        """The file stays: removing it would let two others lock two files of one name."""
        os.close(self.fd)

    def _write(self) -> None:
        text = json.dumps({**self.about, "unswept": list(self.unswept)}).encode() + b"\n"
        try:
            os.pwrite(self.fd, text, 0)
            os.ftruncate(self.fd, len(text))
            self.problem = None
        except OSError as error:  # a full disk: the lock holds all the same
            self.problem = f"{self.path}: cannot be written: {error.strerror}"


def acquire(path: str, run_id: str, *, pid: int, since: str) -> Lock:
    """Lock `path`. Raises AlreadyRunning, or SupervisorError when it cannot be a lock file."""
    try:
        fd = _open_and_lock(path)
    except OSError as error:
        raise SupervisorError(f"{path}: {_why_not(error)}") from error
    before = _about(fd)
    unswept = [*_list(before.get("unswept")), before.get("run_id")]
    known = tuple(dict.fromkeys(run for run in unswept if isinstance(run, str) and run != run_id))
    lock = Lock(path, fd, {"pid": pid, "run_id": run_id, "since": since, "socket": None}, known[-_MAX_UNSWEPT:])
    lock._write()
    return lock


def read_lock(path: str) -> dict[str, Any] | None:
    """Return what the file says of its latest holder; None when there is no such file or it says nothing."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _about(fd) or None
    finally:
        os.close(fd)


def _open_and_lock(path: str) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        try:
            _must_be_file(fd, path)
            _flock(fd, path)
        except BaseException:
            os.close(fd)
            raise
        if _is_at(fd, path):
            return fd
        os.close(fd)  # removed between open and lock: what is locked is no longer the file of that name


def _must_be_file(fd: int, path: str) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise SupervisorError(f"{path}: expected a regular file as lock, found something else; remove it")


def _flock(fd: int, path: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise AlreadyRunning(_already(_about(fd))) from error
    except OSError as error:
        hint = "set supervisor.state_dir to a folder on a local disk"
        raise SupervisorError(f"{path}: this file system cannot lock files ({error.strerror}); {hint}") from error


def _already(about: dict[str, Any]) -> str:
    pid, since = about.get("pid"), about.get("since")
    if not isinstance(pid, int):
        return "already running: another supervisor is just starting here; see: supervisor status"
    return f"already running: pid {pid} since {line(str(since))[:40]}; see: supervisor status"


def _about(fd: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(fd, MAX_BYTES, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_at(fd: int, path: str) -> bool:
    """An error that says nothing of the file, of a broken disk or of too little memory, is no sign that it is gone."""
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def _why_not(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "is a symbolic link: a lock file is never followed elsewhere; remove it"
    if error.errno == errno.EISDIR:
        return "is a directory: expected a lock file; remove it"
    return f"cannot be opened as lock file: {error.strerror}"
