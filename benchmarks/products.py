"""One class per product: how it is configured, started, asked and stopped. Each with its fastest sensible settings."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from idle_script import HEAVY
from processes import alive, below, kill_all, wait_for

HERE = Path(__file__).resolve().parent
VENV = HERE.parent / ".bench" / "venv"
PEERS = ("supervisor", "circus", "gunicorn", "schedule", "confluent-kafka", "sqlalchemy", "pydantic")
TIMEOUT = 3  # seconds of silence until a process counts as hung, for whom looks


def peers_venv() -> Path:
    """Make it on first use. Supervisord's import package has our name: it cannot live in our environment."""
    if not (VENV / "bin" / "gunicorn").exists():
        print(f"making {VENV.relative_to(HERE.parent)} with {' '.join(PEERS)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        subprocess.run([str(VENV / "bin" / "pip"), "install", "-q", *PEERS], check=True)
    return VENV / "bin"


class Product:
    """A running supervisor with `count` children. Ready times come as lines of a file, whoever writes them."""

    name = ""
    sees_hung = True  # whether it looks at all

    def __init__(self, count: int, *, heavy: bool) -> None:
        self.count, self.heavy = count, heavy
        self.folder = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))  # short: socket names are limited
        self.ready_file = self.folder / "ready"
        self.ready_file.touch()
        self.environment = {**os.environ, "BENCH_READY": str(self.ready_file), "PYTHONPATH": str(HERE)}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as users have it: what is imported is compiled once
        if heavy:
            self.environment["BENCH_HEAVY"] = "1"
        self.parent: subprocess.Popen[bytes] | None = None
        self.configure()

    def configure(self) -> None:
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def status_command(self) -> list[str]:
        raise NotImplementedError

    # The same for all.

    def start(self) -> None:
        with open(self.folder / "output", "ab") as output:
            self.parent = subprocess.Popen(
                self.command(), cwd=self.folder, env=self.environment, stdout=output, stderr=output
            )

    @property
    def pid(self) -> int:
        assert self.parent is not None
        return self.parent.pid

    def ready(self) -> list[tuple[int, float]]:
        """Return (pid, monotonic seconds) of everyone who became ready so far."""
        lines = self.ready_file.read_text().splitlines()
        return [(int(pid), float(at)) for pid, at in map(str.split, lines)]

    def size(self) -> int:
        """Cheap to ask again and again: it changes when somebody became ready."""
        return self.ready_file.stat().st_size

    def children(self) -> list[int]:
        """Return the pids that are ready and alive."""
        return [pid for pid, _ in self.ready() if alive(pid)]

    def everyone(self) -> list[int]:
        return [self.pid, *below(self.pid)]

    def stop(self, within: float = 90.0) -> float:
        """SIGTERM; return the seconds until the last process is gone."""
        everyone, began = self.everyone(), time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        self._reap(within)
        gone = wait_for(lambda: not any(map(alive, everyone)), within)
        took = time.monotonic() - began
        return took if gone else float("inf")

    def close(self) -> None:
        """Whatever became of it, nothing is left behind."""
        if self.parent is not None:
            everyone = {*self.everyone(), *(pid for pid, _ in self.ready())}
            kill_all(pid for pid in everyone if alive(pid))
            self._reap(5.0)
            kill_all(pid for pid in everyone if alive(pid) and self._ours(pid))
        shutil.rmtree(self.folder, ignore_errors=True)

    def tail(self) -> str:
        return "\n".join((self.folder / "output").read_text(errors="replace").splitlines()[-8:])

    def _ours(self, pid: int) -> bool:
        try:
            return str(self.folder).encode() in Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False

    def _reap(self, within: float) -> None:
        assert self.parent is not None
        try:
            self.parent.wait(within)
        except subprocess.TimeoutExpired:
            pass


class Forkwarden(Product):
    """READY is what the supervisor heard from the child: its log line, at the moment the line is there."""

    name = "forkwarden"
    extra = ""

    def configure(self) -> None:
        shutil.copy(HERE / "idle_script.py", self.folder / "idle_script.py")
        preload = list(HEAVY) if self.heavy else []
        children = "".join(
            f'[tasks.t{number:04}]\nrun = "idle_script:idle"\nevery = "1h"\n' for number in range(self.count)
        )
        settings = f'[supervisor]\nlog_format = "json"\npreload = {json.dumps(preload)}\n'
        settings += f'heartbeat = {{ timeout = "{TIMEOUT}s" }}\n' if self.extra else ""
        (self.folder / "config.toml").write_text(f"{settings}\n{children}\n{self.extra}")
        self.environment.pop("PYTHONPATH")
        self.ready_file = self.folder / "output"
        self.ready_file.touch()
        self._seen: list[tuple[int, float]] = []
        self._read = 0

    def command(self) -> list[str]:
        return [str(Path(sys.executable).parent / "supervisor"), "start"]

    def status_command(self) -> list[str]:
        return [str(Path(sys.executable).parent / "supervisor"), "status"]

    def ready(self) -> list[tuple[int, float]]:
        now = time.monotonic()
        with open(self.ready_file, "rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            if b'"ready, pid ' in line:
                self._seen.append((int(json.loads(line)["pid"]), now))
        return list(self._seen)


class Supervisord(Product):
    """startsecs=0: with the default 1 s it restarts a process that dies within its first second ever more slowly."""

    name = "Supervisord"
    sees_hung = False

    def configure(self) -> None:
        (self.folder / "conf").write_text(f"""
[supervisord]
nodaemon=true
logfile={self.folder}/log
pidfile={self.folder}/pid
childlogdir={self.folder}
minfds=4096
[unix_http_server]
file={self.folder}/sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{self.folder}/sock
[program:idle]
command={VENV}/bin/python {HERE}/idle_script.py
numprocs={self.count}
process_name=%(program_name)s_%(process_num)04d
autorestart=true
startsecs=0
startretries=1000
stopwaitsecs=10
""")

    def command(self) -> list[str]:
        return [str(VENV / "bin" / "supervisord"), "-c", str(self.folder / "conf")]

    def status_command(self) -> list[str]:
        return [str(VENV / "bin" / "supervisorctl"), "-c", str(self.folder / "conf"), "status"]


class Circus(Product):
    """check_delay=0.1: with the default 5 s a dead process waits for seconds. One watcher: fewer is faster."""

    name = "circus"
    sees_hung = False

    def configure(self) -> None:
        self.port = _free_port()
        (self.folder / "conf").write_text(f"""
[circus]
check_delay = 0.1
endpoint = tcp://127.0.0.1:{self.port}
pubsub_endpoint = tcp://127.0.0.1:{_free_port()}
[watcher:idle]
cmd = {VENV}/bin/python {HERE}/idle_script.py
numprocesses = {self.count}
copy_env = True
warmup_delay = 0
graceful_timeout = 10
max_retry = -1
""")

    def command(self) -> list[str]:
        return [str(VENV / "bin" / "circusd"), str(self.folder / "conf")]

    def status_command(self) -> list[str]:
        return [str(VENV / "bin" / "circusctl"), "--endpoint", f"tcp://127.0.0.1:{self.port}", "list", "idle"]


class Gunicorn(Product):
    """preload_app: the imports are made once in its parent, as ours are."""

    name = "gunicorn"

    def configure(self) -> None:
        (self.folder / "conf.py").write_text(f"""
workers = {self.count}
worker_class = "gunicorn_idle.Idle"
preload_app = True
timeout = {TIMEOUT}
graceful_timeout = 10
bind = "unix:{self.folder}/http"
control_socket = "{self.folder}/ctl"
""")

    def command(self) -> list[str]:
        return [str(VENV / "bin" / "gunicorn"), "-c", str(self.folder / "conf.py"), "gunicorn_idle:app"]

    def status_command(self) -> list[str]:
        return [str(VENV / "bin" / "gunicornc"), "-s", str(self.folder / "ctl"), "-c", "show workers"]


PRODUCTS: tuple[type[Product], ...] = (Forkwarden, Supervisord, Circus, Gunicorn)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
