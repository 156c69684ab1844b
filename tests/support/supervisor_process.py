"""RUNS IN PYTEST: the real command `supervisor start`, in a session of its own, and what it says of itself.

The control socket is spoken to here with the standard library, not with our own client: a judge of its own.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.eventually import eventually
from support.leaks import tagged_pids

# setpriv (util-linux) sets PDEATHSIG and execs, so no Python code runs between fork and exec of a threaded pytest:
# when pytest is killed, the supervisor goes too, and its guard takes the children.
DIES_WITH_PYTEST = ["setpriv", "--pdeathsig", "KILL"]


class NotAnswering(Exception):
    """Nobody listens on the control socket."""


class Supervisor:
    """One `supervisor start`. `with project.supervisor() as supervisor:` starts it and cleans up on every path."""

    def __init__(
        self, config: Path, *arguments: str, environment: dict[str, str] | None = None, prefix: Sequence[str] = ()
    ) -> None:
        self.config = config
        self.state = config.parent / ".supervisor"
        self.arguments = arguments
        self.environment = environment or {}
        self.prefix = list(prefix)
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: set[int] = set()

    # -- the process

    def start(self) -> Self:
        """Start it (again). Does not wait: `wait_ready` does."""
        self._starts += 1
        command = [*DIES_WITH_PYTEST, *self.prefix, sys.executable, "-m", "supervisor", "start"]
        with open(self._output("stdout"), "wb") as out, open(self._output("stderr"), "wb") as err:
            self._process = subprocess.Popen(
                [*command, "--config", str(self.config), *self.arguments],
                cwd=self.config.parent,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self._seen.add(self._process.pid)
        return self

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL, as the OOM killer would: nothing of the supervisor's runs any more."""
        self.process.kill()
        self.process.wait(10)

    def wait(self, timeout: float = 30.0) -> int:
        """Return the exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the supervisor did not end within {timeout:g} s\n{self.stderr}") from None

    def stop(self, timeout: float = 30.0) -> int:
        """SIGTERM and the exit code."""
        self.terminate()
        return self.wait(timeout)

    @property
    def stdout(self) -> str:
        return self._output("stdout").read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return self._output("stderr").read_text(errors="replace")

    def _output(self, stream: str) -> Path:
        return self.config.parent / f"supervisor-{self._starts}.{stream}"

    # -- what it says

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Speak HTTP over the control socket; return the status code and the JSON of the answer."""
        connection = _UnixConnection(str(self.state / "ctl.sock"))
        try:
            connection.request(method, path, body=None if body is None else json.dumps(body))
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        except (OSError, http.client.HTTPException) as error:
            raise NotAnswering(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        code, body = self.request("GET", "/v1/status")
        assert code == 200, body
        self._seen.update(child["pid"] for child in body["children"] if child.get("pid"))
        assert isinstance(body, dict)
        return body

    def child(self, name: str) -> dict[str, Any]:
        children = {child["name"]: child for child in self.status()["children"]}
        assert name in children, f"no child {name}; there are {', '.join(children)}"
        found: dict[str, Any] = children[name]
        return found

    def pid_of(self, name: str) -> int:
        """Return the pid of a child that runs and is ready; wait for it."""
        return int(self.wait_child(name, lambda child: child["state"] == "running" and child["ready"])["pid"])

    def wait_child(self, name: str, condition: Callable[[dict[str, Any]], Any], within: float = 30.0) -> dict[str, Any]:
        """Return the child's status once `condition` holds for it."""
        last: dict[str, Any] = {}

        def found() -> dict[str, Any] | None:
            last.clear()
            last.update(self.child(name))
            return dict(last) if condition(last) else None

        try:
            return eventually(self._alive(found), within=within, every=0.05) or last
        except AssertionError as error:
            raise AssertionError(f"{error}\nlast seen of {name}: {last}\n{self.stderr[-4000:]}") from None

    def wait_ready(self, within: float = 60.0) -> Self:
        """Wait until every child that is wanted is running and ready."""
        last: list[Any] = []

        def ready() -> bool:
            last[:] = self.status()["children"]
            return all(child["ready"] for child in last if child["wanted"])

        try:
            eventually(self._alive(ready), within=within, every=0.05)
        except AssertionError as error:
            raise AssertionError(f"{error}\nlast seen: {last}\n{self.stderr[-4000:]}") from None
        return self

    def cli(self, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run another command against this supervisor: `supervisor.cli("status", "--json")`."""
        command = [sys.executable, "-m", "supervisor", *arguments, "--config", str(self.config)]
        return subprocess.run(
            command,
            cwd=self.config.parent,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def _alive(self, condition: Callable[[], Any]) -> Callable[[], Any]:
        """Not answering yet is no failure; having ended is."""

        def check() -> Any:
            if not self.running:
                raise AssertionError(f"the supervisor ended, code {self.process.returncode}:\n{self.stderr[-4000:]}")
            try:
                return condition()
            except NotAnswering:
                return None

        return check

    # -- nothing stays

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clean()

    def clean(self) -> None:
        """End what still runs: politely first, so that a leak of ours is a leak of the guard's to report."""
        if self.running:
            self.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()


def kill_tagged() -> list[int]:
    """SIGKILL whatever this pytest's tests left anywhere on the machine; return the pids."""
    pids = tagged_pids()
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended by itself
    return pids


def connected(path: str) -> socket.socket:
    """Connect to a Unix socket; while its queue is full, wait. With a timeout set, connect(2) would not."""
    client = socket.socket(socket.AF_UNIX)
    try:
        client.connect(path)
    except OSError:
        client.close()
        raise
    client.settimeout(10)
    return client


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self) -> None:
        self.sock = connected(self.path)
