"""RUNS IN THE PARENT: what the supervisor itself says: to logs/supervisor.log as JSON, and to its stderr.

One event is one line and one write. A full disk or a stuck reader costs lines, which are counted and told
later; it never stops the supervision and never makes more noise.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Literal

from supervisor import logs
from supervisor.console import Console
from supervisor.parent.linefile import LineFile

Style = Literal["console", "json"]
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


class Output:
    """`style` and `level` are those of the console and of both; `log_path` None: console only."""

    def __init__(
        self,
        console_fd: int | None,
        log_path: str | None,
        *,
        style: Style = "console",
        level: str = "info",
        colour: bool = False,
        max_bytes: int = 10 * 1024 * 1024,
        keep: int = 3,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._console = Console(console_fd)
        self._file = LineFile(log_path) if log_path else None
        self._style = style
        self._threshold = _LEVELS[level]
        self._colour = colour
        self._max_bytes = max_bytes
        self._keep = keep
        self._clock = clock

    @property
    def problem(self) -> str | None:
        """For `status`: why events are not in the log file."""
        return self._file.problem if self._file else None

    @property
    def dropped(self) -> int:
        """Lines that the console did not take since it last took one."""
        return self._console.dropped

    def event(self, level: str, child: str, text: str, **fields: Any) -> None:
        """Say one thing; `fields` are those of logs.record, None is left out. Never raises for a lost line."""
        if _LEVELS.get(level, 20) < self._threshold:
            return
        record = logs.record(text, level=level, child=child, now=self._clock(), **fields)
        if self._to_file(record) and self._style == "console":
            record.pop("traceback", None)  # people are told where it stands
        self._console.write(self._formatted(record))

    def close(self) -> None:
        self._console.close()

    def _formatted(self, record: logs.Record) -> str:
        return logs.json_line(record) if self._style == "json" else logs.console(record, colour=self._colour)

    def _to_file(self, record: logs.Record) -> bool:
        """Return whether it is there."""
        if self._file is None:
            return False
        lost = self._file.lost
        written = self._file.append(logs.json_line(record))
        if written and lost:
            text = f"{lost} lines before this one are lost: {self._file.path} could not be written"
            self._file.append(logs.json_line(logs.record(text, level="warning", now=self._clock())))
        if self._file.size >= self._max_bytes:
            rotate(self._file.path, self._keep)
            self._file.size = 0
        return written


def rotate(path: str, keep: int) -> None:
    """PATH becomes PATH.1, that PATH.2 …; `keep` old ones stay. What fails stays where it is."""
    try:
        if keep < 1:
            os.unlink(path)
            return
        for number in range(keep - 1, 0, -1):
            if os.path.lexists(f"{path}.{number}"):
                os.rename(f"{path}.{number}", f"{path}.{number + 1}")
        os.rename(path, f"{path}.1")
    except OSError:
        pass  # a read-only folder: the file goes on growing, its lines are worth more than its size
