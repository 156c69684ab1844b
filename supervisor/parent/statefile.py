"""RUNS IN THE PARENT: reads a small file of the state folder that anybody may have broken, and moves it aside.

Never follows a link, never waits on a FIFO, never reads more than it was told to expect.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import Literal

Kind = Literal["file", "socket", "FIFO"]
_KINDS = {"file": stat.S_ISREG, "socket": stat.S_ISSOCK, "FIFO": stat.S_ISFIFO}


class Unusable(Exception):
    """What stands at the path is not what was written there; the text says what is."""


def read(path: str, limit: int) -> bytes | None:
    """Return the content, None when there is no file. Raises Unusable."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unusable("a symbolic link" if os.path.islink(path) else str(error.strerror)) from error
    try:
        return _read(fd, limit)
    except OSError as error:
        raise Unusable(str(error.strerror)) from error
    finally:
        os.close(fd)


def set_aside(path: str, stamp: str) -> str:
    """Rename to PATH.bad-STAMP; return what was done, for people."""
    aside = f"{path}.bad-{stamp}"
    try:
        os.rename(path, aside)
    except OSError as error:
        return f"could not be moved aside: {error.strerror}"
    return f"moved to {aside}"


def clear(expected: Iterable[tuple[str, Kind]], stamp: str) -> list[str]:
    """Move aside what is of another kind than expected, links too; return what was done, for people."""
    odd = [(path, kind) for path, kind in expected if _is_other(path, kind)]
    return [f"{path}: expected a {kind}, found something else; {set_aside(path, stamp)}" for path, kind in odd]


def _is_other(path: str, kind: Kind) -> bool:
    try:
        return not _KINDS[kind](os.lstat(path).st_mode)
    except OSError:
        return False


def _read(fd: int, limit: int) -> bytes:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise Unusable("no regular file")
    if found.st_size > limit:
        raise Unusable(f"{found.st_size} bytes, expected at most {limit}")
    data = b""
    while piece := os.read(fd, limit + 1 - len(data)):
        data += piece
    return data
