"""RUNS IN THE PARENT: writes down every transition, numbered without a gap, also over restarts of the supervisor.

A line is one append. What the disk does not take is counted, and the next line that is written says how many are
missing: a number is given to nothing that is not in the file.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Mapping
from typing import Any

from supervisor import logs
from supervisor.parent import statefile
from supervisor.parent.linefile import LineFile
from supervisor.parent.output import rotate

MAX_BYTES = 4 * 1024 * 1024  # then the file is put aside
KEEP = 2
_TAIL = 64 * 1024  # holds several lines, each of at most 8 KiB
_TEXT = 1500  # characters of a text: the line fits, and its number is in it
_GAP = {"event": "lost"}
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Events:
    """Nothing here raises: what could not be written is in `problem`."""

    def __init__(
        self, path: str, *, stamp: str, max_bytes: int = MAX_BYTES, clock: Callable[[], float] = time.time
    ) -> None:
        self.notes: list[str] = []
        self._path = path
        self._max_bytes = max_bytes
        self._clock = clock
        self._put_aside_what_is_none(stamp)
        self.seq = _last(path) or _last(f"{path}.1") or _last(f"{path}.2") or 0
        self._file = LineFile(path)
        self._lost = 0  # events since the last one that was written

    @property
    def problem(self) -> str | None:
        """For `status`."""
        return f"{self._file.problem}: {self._lost} event(s) lost" if self._lost else None

    def add(self, level: str, child: str, text: str, **fields: Any) -> None:
        """Write one event; `fields` are those of logs.record, None is left out."""
        if self._lost and self._write("warning", "supervisor", f"{self._lost} events before this one are lost", _GAP):
            self._lost = 0
        if self._lost or not self._write(level, child, text, fields):
            self._lost += 1
        if self._file.size >= self._max_bytes:
            rotate(self._path, KEEP)
            self._file.size = 0

    def _write(self, level: str, child: str, text: str, fields: Mapping[str, Any]) -> bool:
        kept = {key: value[:_TEXT] if isinstance(value, str) else value for key, value in fields.items()}
        record = logs.record(text[:_TEXT], level=level, child=child, now=self._clock(), **kept)
        written = self._file.append(logs.json_line({"seq": self.seq + 1, **record}))
        self.seq += written
        return written

    def _put_aside_what_is_none(self, stamp: str) -> None:
        """A link, a folder, a FIFO: whatever stands there, nothing is written into it."""
        try:
            found = os.lstat(self._path)
        except OSError:
            return
        if not stat.S_ISREG(found.st_mode):
            aside = statefile.set_aside(self._path, stamp)
            self.notes.append(f"{self._path}: expected the file of the events, found something else; {aside}")


def _last(path: str) -> int | None:
    """Return the number of the last whole line; None when there is none."""
    for line in reversed(_end(path).split(b"\n")):
        try:
            seq = json.loads(line)["seq"]
        except (ValueError, RecursionError, KeyError, TypeError):
            continue  # torn, or the piece of a line where the reading began
        if type(seq) is int and 0 < seq < 1 << 53:
            return seq
    return None


def _end(path: str) -> bytes:
    try:
        fd = os.open(path, _FLAGS)
    except OSError:
        return b""
    try:
        found = os.fstat(fd)
        return os.pread(fd, _TAIL, max(0, found.st_size - _TAIL)) if stat.S_ISREG(found.st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(fd)
