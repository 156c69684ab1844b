"""RUNS IN THE PARENT: the state folder: made, checked, or another one chosen, and that is said.

It must be a folder of our own that nobody else may enter: who can write in it can replace the socket and the
toggles. What could be planted by others is refused with the command that mends it; what only could be read is closed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass

from supervisor.core.errors import SupervisorError
from supervisor.core.paths import Paths
from supervisor.core.places import MAX_SOCKET_PATH, candidates, fits

_OTHERS = 0o077
_OTHERS_WRITE = 0o022
_TEMPORARY = ("/run/", "/dev/shm/")  # gone after a reboot


@dataclass(frozen=True, slots=True)
class Folder:
    paths: Paths
    notes: tuple[str, ...]  # for people: the start says them, `status` repeats them


class _NotHere(Exception):
    """This place will not do; the next one may."""


def prepare(state_dir: str, env: Mapping[str, str], uid: int) -> Folder:
    """Make the folders and return where they are. Raises SupervisorError with what to do."""
    tried: list[str] = []
    for root in candidates(resolve(state_dir), env, uid):
        try:
            notes = _prepare(root, uid)
        except _NotHere as error:
            tried.append(f"{root}: {error}")
        else:
            return Folder(Paths(root), (*_moved(root, tried), *notes))
    raise SupervisorError("no place for the state folder; set supervisor.state_dir. Tried " + "; ".join(tried))


def restore(paths: Paths, uid: int) -> bool:
    """Make again what somebody removed of it while we run. False: that was not possible."""
    try:
        _prepare(paths.root, uid)
    except (_NotHere, SupervisorError):
        return False
    return True


def resolve(state_dir: str) -> str:
    """As places.candidates wants it; client.py does the same."""
    head, tail = os.path.split(os.path.abspath(state_dir))
    return os.path.join(os.path.realpath(head), tail)


def _prepare(root: str, uid: int) -> list[str]:
    if not fits(root):
        raise _NotHere(f"the path of a socket in it would be longer than {MAX_SOCKET_PATH} bytes")
    notes = _own(root, uid)
    if not os.access(root, os.W_OK | os.X_OK):
        raise _NotHere("read-only")
    paths = Paths(root)
    for folder in (paths.logs, paths.crashes, paths.history, os.path.dirname(paths.progress(""))):
        notes += _own(folder, uid)
    return notes


def _own(path: str, uid: int) -> list[str]:
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        _mkdir(path)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            found = "a symbolic link" if os.path.islink(path) else "something else"
            raise SupervisorError(f"{path}: expected a folder, found {found}; remove it") from error
        raise _NotHere(error.strerror or str(error)) from error
    try:
        return _close_to_others(fd, path, uid)
    except OSError as error:
        raise _NotHere(error.strerror or str(error)) from error
    finally:
        os.close(fd)


def _mkdir(path: str) -> None:
    """With its mode from the first moment: 0700 whatever the umask."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass  # checked below like a new one


def _close_to_others(fd: int, path: str, uid: int) -> list[str]:
    found = os.fstat(fd)
    if found.st_uid != uid:
        hint = "start as that user, or remove the folder"
        raise SupervisorError(f"{path}: belongs to uid {found.st_uid}, the supervisor runs as uid {uid}; {hint}")
    mode = stat.S_IMODE(found.st_mode)
    if mode & _OTHERS_WRITE:
        hint = f"look into it, then: chmod 700 {path}"
        raise SupervisorError(f"{path}: others may write in it (mode {mode:04o}, expected 0700); {hint}")
    if mode & _OTHERS:
        os.fchmod(fd, 0o700)
        return [f"{path}: others could read it (mode {mode:04o}); closed it (0700)"]
    return []


def _moved(root: str, tried: list[str]) -> list[str]:
    if not tried:
        return []
    lasting = "; it does not outlive a reboot, toggles neither" if root.startswith(_TEMPORARY) else ""
    return [f"the state folder is {root}{lasting}, because {'; '.join(tried)}"]
