"""RUNS IN A WEB PROCESS: one `supervisor start`, in a session of its own. It outlives us: others may hold it too.

Its stderr is a pipe for what goes wrong at the start. Once it is up it writes to the stderr of the web server,
whichever web process began it (core/held).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from supervisor.core.escape import line
from supervisor.core.held import CONSOLE_FD
from supervisor.core.words import cut

MOST = 64 * 1024  # bytes of what it says that are kept
LONGEST = 300  # columns of a problem in the log of the web server


class _Outliving(subprocess.Popen[bytes]):
    def __del__(self) -> None:
        """That it still runs when nobody here needs the object any more is no mistake to warn of."""


class Start:
    """Begun with the object. Raises OSError when there can be no process."""

    def __init__(self, config: str) -> None:
        self._said = b""
        self._pipe, stderr = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._pipe, False)
        console = _stderr()
        try:
            self.process = _start(config, stderr, console)
        except OSError:
            os.close(self._pipe)
            raise
        finally:
            os.close(stderr)
            os.close(console)

    def exited(self) -> int | None:
        """Return its exit code, None while it runs. Reads what it says."""
        code = self.process.poll()  # first: what it said before its end is in the pipe then
        while self.listened_to and len(self._said) < MOST and (piece := self._read()):
            self._said += piece
        return code

    @property
    def listened_to(self) -> bool:
        """Whether it is still about its start."""
        return self._pipe >= 0

    @property
    def found_another(self) -> bool:
        return b"already running" in self._said

    def said(self) -> str:
        """Return what it said, as one line: the first problem, and how many there are."""
        texts = [text for text in self._said.decode(errors="replace").splitlines() if text and text[0] != " "]
        first, *more = texts or [""]
        return cut(line(first.removeprefix("error: ")), LONGEST) + (f" ({line(more[-1])})" if more else "")

    def kill(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # ended by itself just now

    def close(self) -> None:
        """What it says is not for us any more."""
        if self._pipe >= 0:
            os.close(self._pipe)
        self._pipe = -1

    def _read(self) -> bytes:
        try:
            return os.read(self._pipe, MOST)
        except BlockingIOError:
            return b""


def _start(config: str, stderr: int, console: int) -> _Outliving:
    """Without the web server's sockets: a supervisor that lives longer would keep the port in use."""
    return _Outliving(
        [sys.executable, "-m", "supervisor", "start", "--while-held", "--config", config],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=[console],
        env={**os.environ, CONSOLE_FD: str(console)},
        start_new_session=True,
    )


def _stderr() -> int:
    try:
        return os.dup(2)
    except OSError:  # closed
        return os.open(os.devnull, os.O_WRONLY)
