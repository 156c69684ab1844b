"""RUNS IN PYTEST: a real uvicorn with an application of the test's, in a session of its own, on loopback."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.eventually import eventually
from support.supervisor_process import DIES_WITH_PYTEST
from support.system import alive, of_this_session

WITHIN = 60.0  # seconds; four web processes begin on two loaded cores
_RUNNING = re.compile(r"Uvicorn running on http://127\.0\.0\.1:(\d+)")


class WebServer:
    """`uvicorn app:app --workers N`. `with WebServer(folder, processes=4) as web:` starts it and cleans up."""

    def __init__(
        self, folder: Path, app: str = "app:app", *, processes: int = 1, port: int = 0, **environment: str
    ) -> None:
        self.folder = folder
        self.output_file = folder / f"web-{len(list(folder.glob('web-*')))}.log"
        self._port = port
        command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--workers", str(processes)]
        with open(self.output_file, "wb") as output:
            self.process = subprocess.Popen(
                [*DIES_WITH_PYTEST, *command],
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.output_file.read_text(errors="replace")

    def said(self, text: str) -> int:
        """Return how many lines have this text."""
        return sum(text in line for line in self.output.splitlines())

    @property
    def port(self) -> int:
        """Return where it listens, once it says so."""
        if not self._port:
            self._port = eventually(self._listens_on, WITHIN, what="uvicorn runs")
        return self._port

    def get(self, path: str, timeout: float = 60.0) -> tuple[int, Any]:
        """Return the status code and the JSON of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            connection.close()

    def wait_for(self, path: str, code: int, within: float = WITHIN) -> Any:
        """Ask until the answer has this code; return its JSON."""
        last: list[Any] = []

        def found() -> bool:
            last[:] = self._try(path)
            return bool(last) and last[0] == code

        try:
            eventually(found, within, every=0.1)
        except AssertionError as error:
            raise AssertionError(f"{path} is not {code}: {error}\nlast answer: {last}\n{self.output[-6000:]}") from None
        return last[1]

    def processes(self) -> list[int]:
        """Return the pids of the web processes, without uvicorn's own parent."""
        found = of_this_session("spawn_main")
        return [pid for pid in found if self._is_mine(pid)] or [self.process.pid]

    def holders(self) -> list[int]:
        """Return the web processes that hold the supervisor's FIFO."""
        return [pid for pid in self.processes() if any(path.endswith("/keepers") for path in _open_files(pid))]

    def wait_held(self, count: int) -> list[int]:
        """Wait until so many web processes hold the supervisor."""
        eventually(lambda: len(self.holders()) == count, WITHIN, every=0.1, what=f"{count} web processes hold it")
        return self.holders()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(WITHIN)

    def finish(self) -> None:
        """Stop it and its supervisor at once, which would otherwise wait whether another web process comes."""
        self.stop()
        self._end_supervisors()
        wait_gone(self.folder / "config.toml")

    def kill(self) -> None:
        """SIGKILL all of it at once: nothing of it runs any more."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(WITHIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:  # the test has failed
            self.kill()
            self._end_supervisors()

    def _listens_on(self) -> int:
        found = _RUNNING.search(self._running())
        return int(found[1]) if found else 0

    def _end_supervisors(self) -> None:
        for pid in supervisors(self.folder / "config.toml"):
            os.kill(pid, signal.SIGTERM)

    def _running(self) -> str:
        assert self.process.poll() is None, f"uvicorn ended with {self.process.returncode}:\n{self.output[-6000:]}"
        return self.output

    def _try(self, path: str) -> list[Any]:
        try:
            return list(self.get(path))
        except (OSError, http.client.HTTPException):
            self._running()
            return []

    def _is_mine(self, pid: int) -> bool:
        try:
            return os.getsid(pid) == self.process.pid
        except ProcessLookupError:
            return False


def supervisors(config: Path) -> list[int]:
    """Return the pids of the supervisors of this config.toml. A process just forked from one has no name of its own."""
    found = [pid for pid in of_this_session("forkwarden: supervisor ") if _folder(pid) == str(config.parent)]
    return [pid for pid in found if parent_of(pid) not in found]


def one_supervisor(config: Path) -> int:
    """Wait until there is one, and only one."""
    eventually(lambda: len(supervisors(config)) == 1, WITHIN, every=0.1, what="one supervisor")
    return supervisors(config)[0]


def wait_gone(config: Path) -> None:
    eventually(lambda: not supervisors(config), WITHIN, every=0.1, what="the supervisor has ended")
    eventually(lambda: not of_this_session("forkwarden: "), WITHIN, every=0.1, what="and all of its children")


def parent_of(pid: int) -> int:
    """Return 0 when there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def kill(pid: int) -> None:
    """SIGKILL, and wait until it is really dead."""
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid), WITHIN, what=f"{pid} is dead")


def _open_files(pid: int) -> list[str]:
    found = []
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    except OSError:
        pass  # it ended, or closed one of them meanwhile
    return found


def _folder(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""
