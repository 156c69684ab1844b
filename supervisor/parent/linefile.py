"""RUNS IN THE PARENT: appends lines to a file, whatever happens to the file.

Opened anew for each write: a file that was removed, moved or replaced is found again, and no descriptor is kept.
One O_APPEND write per line. What could not be written is counted; the disk may be full for hours.
"""

from __future__ import annotations

import os
import stat

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LineFile:
    def __init__(self, path: str) -> None:
        self.path = path
        self.lost = 0  # lines since the last one that was written
        self.problem: str | None = None  # why
        self.size = 0  # bytes, after the last write
        self._torn = True  # an earlier life may have ended in the middle of a line

    def append(self, line: str) -> bool:
        data = line.encode(errors="backslashreplace") + b"\n"
        try:
            fd = _open(self.path)
        except OSError as error:
            return self._failed(error.strerror or str(error))
        try:
            try:
                return self._write(fd, data)
            finally:
                os.close(fd)  # over a network this, too, may say that the disk is full
        except OSError as error:
            return self._failed(error.strerror or str(error))

    def _write(self, fd: int, data: bytes) -> bool:
        size = os.fstat(fd).st_size
        if self._torn and size and os.pread(fd, 1, size - 1) != b"\n":
            data = b"\n" + data
        self._torn = True
        self.size = size
        written = os.write(fd, data)
        if written < len(data):
            os.ftruncate(fd, size)  # half a line would be taken for one, or for the beginning of the next
            return self._failed("the disk is full")
        self.size += written
        self._torn = False
        self.lost = 0
        self.problem = None
        return True

    def _failed(self, problem: str) -> bool:
        self.lost += 1
        self.problem = f"{self.path}: cannot be written: {problem}"
        return False


def _open(path: str) -> int:
    fd = os.open(path, _FLAGS, 0o600)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(0, "expected a regular file, found something else")
