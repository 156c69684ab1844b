"""RUNS IN A PROCESS OF ITS OWN, for doctor: the state folder, its file system, and the supervisor that uses it."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Sequence

from supervisor import __version__, client
from supervisor.cli.checks.apart import Answer
from supervisor.core import places
from supervisor.core.errors import NotRunning, SupervisorError

LEAST_BYTES = 100 << 20
LEAST_FILES = 1000
TRIAL = ".forkwarden-doctor-"  # the folder in which a lock and a socket are tried; it goes at once
_OTHERS_WRITE = 0o022


def rights(folder: str) -> Answer:
    """As the start will judge it; what it would mend by itself is no fault."""
    elsewhere = "set supervisor.state_dir to a folder of your own"
    if not places.fits(folder):
        return Answer(False, f"{folder} is too long a path for a socket", elsewhere)
    if not os.path.lexists(folder):
        above = existing(folder)
        may = os.access(above, os.W_OK | os.X_OK)
        return Answer(True, f"{folder} will be made") if may else Answer(False, f"{above} is read-only", elsewhere)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        return Answer(False, f"{folder} is {'a link' if stat.S_ISLNK(found.st_mode) else 'no folder'}", "remove it")
    if found.st_uid != os.geteuid():
        return Answer(
            False, f"{folder} belongs to uid {found.st_uid}, this is uid {os.geteuid()}", "start as that user"
        )
    if found.st_mode & _OTHERS_WRITE:
        mode = stat.S_IMODE(found.st_mode)
        return Answer(
            False, f"others may write in {folder} (mode {mode:04o})", f"look into it, then: chmod 700 {folder}"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        return Answer(False, f"{folder} is read-only", elsewhere)
    return Answer(True, f"{folder}, mode {stat.S_IMODE(found.st_mode):04o}")


def disk(folder: str) -> Answer:
    found = os.statvfs(existing(folder))
    free, files = found.f_bavail * found.f_frsize, found.f_favail
    if free < LEAST_BYTES:
        return Answer(False, f"{free >> 20} MiB are free", "free some: logs, history and toggles are written there")
    if found.f_files and files < LEAST_FILES:  # some file systems make them as they are needed, and say 0
        return Answer(False, f"{files} inodes are free", "delete files: no new one can be made there")
    return Answer(True, f"{free >> 20} MiB free")


def file_system(folder: str) -> Answer:
    """Try it in a folder that is gone again when this returns, or when doctor ends us."""
    above = existing(folder)
    try:
        trial = tempfile.mkdtemp(prefix=TRIAL, dir=above)
    except OSError as error:
        return Answer(False, f"nothing can be made in {above}: {error.strerror}", "set supervisor.state_dir")
    try:
        return _try(trial, above)
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def clean(folder: str) -> None:
    """What a trial left that had to be ended: only ours, by its name."""
    above = existing(folder)
    for name in os.listdir(above):
        if name.startswith(TRIAL) and os.lstat(f"{above}/{name}").st_uid == os.geteuid():
            shutil.rmtree(f"{above}/{name}", ignore_errors=True)


def running(sockets: Sequence[str]) -> Answer:
    try:
        code, found = client.request(sockets, "GET", "/v1/status", timeout=4.0)
    except NotRunning:
        return Answer(None, "not running", "supervisor start")
    except SupervisorError as error:
        return Answer(False, str(error), "supervisor logs supervisor")
    about = found.get("supervisor")
    if code != 200 or not isinstance(about, dict):
        return Answer(False, f"it answered {code}", "supervisor logs supervisor")
    if about.get("version") != __version__:
        text = f"version {about.get('version')} runs, {__version__} is installed"
        return Answer(False, text, "supervisor stop, then start it again")
    ready = [bool(child.get("ready")) for child in found.get("children", []) if child.get("wanted")]
    return Answer(True, f"pid {about.get('pid')} answers, {sum(ready)} of {len(ready)} children ready")


def existing(path: str) -> str:
    """Return the path, or the nearest above it that exists."""
    while not os.path.isdir(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _try(trial: str, above: str) -> Answer:
    elsewhere = "set supervisor.state_dir to a folder on a local disk"
    try:
        with open(f"{trial}/lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return Answer(False, f"{above}: files cannot be locked: {error.strerror}", elsewhere)
    folder = os.open(trial, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{folder}/s")  # the name itself may be longer than a socket's
    except OSError as error:
        return Answer(False, f"{above}: it cannot hold a socket: {error.strerror}", elsewhere)
    finally:
        os.close(folder)
    return Answer(True, "can lock a file and hold a socket")
