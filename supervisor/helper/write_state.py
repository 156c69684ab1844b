"""RUNS IN A HELPER: replaces a file of the state folder so that a power cut leaves the old one or the new one.

fsync waits for the disk, seconds at worst: that is why it is done in a process that nobody waits for.
"""

from __future__ import annotations

import os


def write(path: str, data: bytes) -> None:
    """Write, flush to the disk, rename, flush the folder. Raises OSError; then `path` is as it was."""
    fresh = f"{path}.new"
    try:
        _write(fresh, data)
        os.rename(fresh, path)
    except BaseException:
        _remove(fresh)
        raise
    _flush_folder(os.path.dirname(path))


def _write(path: str, data: bytes) -> None:
    _remove(path)  # of a life that ended here
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # the usual case


def _flush_folder(path: str) -> None:
    """Without it the name may still lead to the old file after a power cut."""
    fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
