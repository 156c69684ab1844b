"""RUNS ANYWHERE: opens a file of the state folder, where by mishap or malice something else may stand.

A FIFO would be waited for without an end, a link leads elsewhere, a folder is a bug's traceback: all of them are as
good as a file that cannot be read.
"""

from __future__ import annotations

import os
import stat

_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def opened(path: str, how: int = os.O_RDONLY) -> int:
    """Return a descriptor, by default to read from. Raises OSError, also for what is no regular file."""
    fd = os.open(path, how | _FLAGS, 0o600)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        os.set_blocking(fd, True)  # who inherits it may look
        return fd
    os.close(fd)
    raise OSError(0, "expected a regular file, found something else", path)


def is_other(path: str) -> bool:
    """Whether something stands there that is no regular file; links are not followed."""
    try:
        return not stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
