"""RUNS IN A CHILD: its log. One event is one write of one line: to the child's own file (fd 1), and to the
supervisor's stderr when that does not block. The heartbeat thread rotates the file by size.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import traceback

from supervisor import logs
from supervisor.core.spec import SupervisorSettings

_PIPE_BUF = 4096  # a longer write to a pipe may block half way through, or mix with another's
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Handler(logging.Handler):
    """Never raises and never blocks longer than a file does: a full disk or a stalled reader costs lines, not work."""

    def __init__(self, name: str, console: int, settings: SupervisorSettings) -> None:
        super().__init__()
        self.child = name
        self.lost = 0
        self._console = console
        self._json, self._colour = style(console, settings.log_format)
        self._poll = select.poll()
        self._poll.register(console, select.POLLOUT)

    def emit(self, record: logging.LogRecord) -> None:
        line = self._record(record)
        self._write(1, logs.json_line(line) + "\n")
        text = logs.json_line(line) if self._json else logs.console(line, colour=self._colour)
        if len(text) < _PIPE_BUF and self._poll.poll(0):
            self._write(self._console, text + "\n")

    def _record(self, record: logging.LogRecord) -> dict[str, object]:
        extra = {key: getattr(record, key) for key in ("event", "reason") if hasattr(record, key)}
        if record.exc_info:
            extra["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        try:
            text = record.getMessage()
        except (TypeError, ValueError) as error:  # a log call whose arguments do not fit its text
            text = f"{record.msg} {record.args!r} ({error})"
        return logs.record(
            text, level=record.levelname.lower(), child=self.child, now=record.created, pid=os.getpid(), **extra
        )

    def _write(self, fd: int, text: str) -> None:
        try:
            os.write(fd, text.encode(errors="backslashreplace"))
        except OSError:  # disk full, reader gone
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


def _line_buffered(fd: int):  # type: ignore[no-untyped-def]  # TextIO's buffering cannot be said in a return type
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
