"""RUNS IN THE USER'S TERMINAL: the lines of one log file, from its end backwards and then as they come.

The file is read by name: when it was rotated (NAME.log became NAME.log.1) or cut, reading goes on in the new one,
and nothing that was written in between is skipped. The file may come into being later.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count, takewhile

from supervisor import plain

BLOCK = 65536
_EMPTY = bytes(BLOCK)
LONGEST = 1024 * 1024  # bytes without a newline that are waited for; more of them are lines of their own


@dataclass(slots=True)
class Tail:
    path: str
    _fd: int = -1
    _at: int = 0  # how far the file was read
    _rest: bytes = b""  # the beginning of a line that is not complete

    def backwards(self) -> Iterator[str]:
        """Return the lines that are there now, the latest first, rotated files included; `more` goes on after them."""
        self._open()
        if self._fd < 0:
            return iter(())
        self._at = os.fstat(self._fd).st_size
        lines = _reversed(self._fd, self._at)
        self._rest = next(lines, b"")  # empty when the file ends with a newline
        return map(_text, chain(lines, _older(self.path)))

    def written(self) -> float:
        """Return when the file was written to last (epoch seconds)."""
        return os.fstat(self._fd).st_mtime if self._fd >= 0 else 0.0

    def partial(self) -> str:
        """Return the line at the end that has no newline yet."""
        return _text(self._rest)

    def more(self) -> list[str]:
        """Return the lines that were completed since the last call."""
        lines = self._complete()
        while self._moved():
            if self._rest:
                lines.append(self._take_rest())
            self._next_file()
            if self._fd < 0:
                break
            lines += self._complete()
        return lines

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._at, self._rest = -1, 0, b""

    def _complete(self) -> list[str]:
        if self._fd < 0:
            self._open()
        if self._fd < 0:
            return []
        if os.fstat(self._fd).st_size < self._at:  # cut in place
            self._at, self._rest = 0, b""
        lines: list[str] = []
        while block := os.pread(self._fd, BLOCK, self._at):
            self._at += len(block)
            *whole, self._rest = (self._rest + block).split(b"\n")
            lines += map(_text, whole)
            if len(self._rest) > LONGEST:
                lines.append(self._take_rest())
        return lines

    def _take_rest(self) -> str:
        rest, self._rest = self._rest, b""
        return _text(rest)

    def _moved(self) -> bool:
        """Whether the name is another file's by now."""
        if self._fd < 0:
            return False
        try:
            return os.stat(self.path).st_ino != os.fstat(self._fd).st_ino
        except OSError:  # between rename and create: look again at the next call
            return False

    def _next_file(self) -> None:
        """Go on in the file that came after ours: NAME.log, or an older one when it was rotated twice meanwhile."""
        ours = os.fstat(self._fd).st_ino
        newer = [self.path]
        for file in _rotated(self.path):
            if _inode(file) == ours:
                break
            newer.append(file)
        else:
            newer = [self.path]  # ours was deleted
        self.close()
        self._open(newer[-1])

    def _open(self, path: str = "") -> None:
        self.close()
        try:
            self._fd = plain.opened(path or self.path)
        except OSError:
            self._fd = -1


def _rotated(path: str) -> Iterator[str]:
    """Yield NAME.log.1, NAME.log.2, …: as far as they exist, each older than the one before."""
    return takewhile(os.path.exists, (f"{path}.{number}" for number in count(1)))


def _older(path: str) -> Iterator[bytes]:
    """Yield the lines of the rotated files, the latest first."""
    for file in _rotated(path):
        try:
            fd = plain.opened(file)
        except OSError:  # rotated away meanwhile, or no file
            return
        try:
            lines = _reversed(fd, os.fstat(fd).st_size)
            if last := next(lines, b""):
                yield last
            yield from lines
        finally:
            os.close(fd)


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return -1


def _reversed(fd: int, end: int) -> Iterator[bytes]:
    """Yield what newlines separate, the last first: an empty piece when the file ends with a newline."""
    rest = b""
    while end > 0:
        start = max(0, end - BLOCK)
        block, end = os.pread(fd, end - start, start), start
        if _EMPTY.startswith(block):  # a power cut can leave a file that is as long as it was, and empty
            continue
        rest, *whole = (block + rest).split(b"\n")
        yield from reversed(whole)
        if len(rest) > LONGEST:
            yield rest
            rest = b""
    yield rest


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
