"""RUNS IN PYTEST: a real PostgreSQL cluster from Debian's programs, in a folder of its own, on a Unix socket.

The server refuses to run as root: as root it is started as the user `postgres`.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from support import leaks
from support.eventually import eventually

USER = "postgres"
_SETTINGS = {"listen_addresses": "", "fsync": "off", "synchronous_commit": "off", "max_connections": "30"}


def programs() -> Path | None:
    """Return the newest folder with initdb and postgres."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else None


def why_not() -> str | None:
    """Return why there can be no server here, or None."""
    return None if programs() else "PostgreSQL's server programs are not installed (Debian: postgresql)"


class Postgres:
    """`with Postgres() as server:` starts it and removes every trace of it."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._folder = Path(tempfile.mkdtemp(prefix="forkwarden-postgres-"))
        if os.geteuid() == 0:
            shutil.chown(self._folder, USER, USER)

    def __enter__(self) -> Self:
        try:
            self._run("initdb", "--auth=trust", "--username", USER, "--no-sync", "--pgdata", str(self._data))
            self._start()
            eventually(self._accepts, within=60, what="PostgreSQL accepts connections")
        except BaseException:
            self._clean()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGINT)  # its "fast" shutdown: clients are cut
        self._process.wait(30)
        self._clean()

    @contextmanager
    def database(self) -> Iterator[str]:
        """Make an empty database; give its URL; drop it, with whoever is still connected."""
        name = f"test{next(self._numbers)}"
        self.query(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.query(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{USER}@/{database}?host={self._folder}"

    def query(self, statement: str, database: str = USER) -> list[str]:
        """Ask by psql, a client that is none of ours; rows as text."""
        result = self._run("psql", "-h", str(self._folder), "-U", USER, "-At", "-c", statement, database)
        return result.stdout.splitlines()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _start(self) -> None:
        settings = [
            f"-c{key}={value}" for key, value in {**_SETTINGS, "unix_socket_directories": str(self._folder)}.items()
        ]
        with open(self._folder / "log", "wb") as log:
            self._process = subprocess.Popen(
                [*_as_user("--pdeathsig", "INT"), self._program("postgres"), "-D", str(self._data), *settings],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        leaks.keep(self._process.pid)

    def _accepts(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended at once:\n{(self._folder / 'log').read_text()}")
        command = [self._program("pg_isready"), "-q", "-h", str(self._folder), "-U", USER]
        return subprocess.run(command, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*_as_user(), self._program(program), *arguments]
        result = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=False, timeout=120)
        if result.returncode:
            raise RuntimeError(f"{program} failed: {result.stderr or result.stdout}")
        return result

    def _program(self, name: str) -> str:
        folder = programs()
        assert folder is not None
        return str(folder / name)

    def _clean(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _as_user(*options: str) -> list[str]:
    if os.geteuid() != 0:
        return ["setpriv", *options] if options else []
    return ["setpriv", "--reuid", USER, "--regid", USER, "--init-groups", *options]
