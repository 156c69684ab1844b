"""RUNS IN A CHILD: its log. One event is one write of one line: to the child's own file (fd 1), and to the
supervisor's stderr when that does not block. The heartbeat thread rotates the file by size.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback

from supervisor import logs
from supervisor.console import Console
from supervisor.core.spec import SupervisorSettings

_PIECE = 1 << 16  # bytes
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Handler(logging.Handler):
    """Never raises and never blocks longer than a file does: a full disk or a stalled reader costs lines, not work."""

    # the supervisor's stderr is one pipe for all: asking whether it has room and then writing would block, when
    # another one was faster; so it is opened anew, without waiting

    def __init__(self, name: str, console: int, settings: SupervisorSettings) -> None:
        super().__init__()
        self.child = name
        self.lost = 0
        self._torn = False  # the disk took a part of the last line
        self._console = Console(console)
        self._json, self._colour = style(console, settings.log_format)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self._record(record)
            as_json = logs.json_line(line)
            self._to_file(as_json)
            self._console.write(as_json if self._json else logs.console(line, colour=self._colour))
        except Exception:  # whatever the user's own classes do when they are shown: it ends no task
            self.lost += 1

    def _record(self, record: logging.LogRecord) -> dict[str, object]:
        extra = {key: getattr(record, key) for key in ("event", "reason") if hasattr(record, key)}
        if record.exc_info:
            extra["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        try:
            text = record.getMessage()
        except Exception as error:  # its arguments do not fit its text, or have none themselves
            where = f"{record.pathname}:{record.lineno}"
            text = f"{where}: this log call has a text that cannot be made: {type(error).__name__}: {record.msg!r:.200}"
        return logs.record(
            text, level=record.levelname.lower(), child=self.child, now=record.created, pid=os.getpid(), **extra
        )

    def _to_file(self, text: str) -> None:
        data = (("\n" if self._torn else "") + text + "\n").encode(errors="backslashreplace")
        try:
            self._torn = os.write(1, data) < len(data)
        except OSError:  # disk full
            self.lost += 1


def style(console: int, log_format: str) -> tuple[bool, bool]:
    """Return (JSON lines?, colour?) for what stands behind `console`."""
    terminal = os.isatty(console)
    as_json = log_format == "json" or (log_format == "auto" and not terminal)
    return as_json, terminal and not as_json and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def install(name: str, console: int, settings: SupervisorSettings) -> Handler:
    handler = Handler(name, console, settings)
    root = logging.getLogger()
    for inherited in root.handlers[:]:
        root.removeHandler(inherited)
    root.addHandler(handler)
    root.setLevel(_LEVELS[settings.log_level])
    logging.raiseExceptions = False
    sys.stdout = _line_buffered(1)
    sys.stderr = _line_buffered(2)
    return handler


def rotate(path: str, max_bytes: int, keep: int) -> None:
    """Put the file aside when it is full. Whoever writes at that moment writes into the old or the new one."""
    try:
        if os.fstat(1).st_size < max_bytes:
            return
        for number in range(keep - 1, 0, -1):
            if os.path.exists(f"{path}.{number}"):
                os.replace(f"{path}.{number}", f"{path}.{number + 1}")
        if keep:
            os.replace(path, f"{path}.1")
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return  # the folder is gone or read-only: the old file goes on
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
    if keep:
        shorten(f"{path}.1", max_bytes)


def shorten(path: str, max_bytes: int) -> None:
    """Of a file twice as long as allowed keep the end: a child can print gigabytes between two looks.

    In place, piece by piece: it needs no room on a disk that the file itself may have filled.
    """
    try:
        with open(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "r+b", buffering=0) as file:
            behind = (size := os.fstat(file.fileno()).st_size) - max_bytes
            if behind < max_bytes:
                return
            at = file.write(f"({behind} bytes are left out here: more than fits into log_max_bytes)\n".encode())
            for start in range(behind, size, _PIECE):
                at += os.pwrite(file.fileno(), os.pread(file.fileno(), min(_PIECE, size - start), start), at)
            file.truncate(at)
    except OSError:
        return  # gone, no file, or on a disk that fails: it stays as it is


def _line_buffered(fd: int):  # type: ignore[no-untyped-def]  # TextIO's buffering cannot be said in a return type
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
