"""The command: `python tests/chaos/overload.py [--minutes M] [--freeze S]`: no healthy child is killed by mistake.

M minutes with many more CPU hogs (stress-ng) than cores at the same priority, then the supervisor is stopped by
SIGSTOP for S seconds. Children that idle, compute, wait and start programs keep their pids; their runs end ok.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(_ROOT), str(_ROOT / "tests")) if path not in sys.path]

from chaos.shared import Breach, Life, command, figures, life, now, say  # noqa: E402
from support.project import NOTE  # noqa: E402

CONFIG = '\n[supervisor]\ngrace_period = "10s"\nwatch = false\n'  # all limits as they come
TASK = '\n[tasks.{name}]\nrun = "mine:{name}"\nevery = "{every}"\n'
TASKS = {"idle": "1h", "quick": "1s", "compute": "5s", "sleeper": "20s", "program": "5s", "aio": "2s"}
CODE = (
    NOTE
    + """
import asyncio, subprocess


def idle():
    pass


def quick():
    note("quick")


def compute():
    end = time.thread_time() + 1
    while time.thread_time() < end:
        sum(range(1000))


def sleeper():
    time.sleep(15)


def program():
    subprocess.run(["true"], check=True)


async def aio():
    await asyncio.sleep(1)
"""
)
HOGS = 16


def config() -> str:
    return CONFIG + "".join(TASK.format(name=name, every=every) for name, every in TASKS.items())


@contextmanager
def stress(hogs: int) -> Iterator[None]:
    """CPU hogs until the block ends; they share the cores with us at our priority."""
    program = shutil.which("stress-ng")
    if program is None:
        raise Breach("stress-ng is not installed: apt-get install stress-ng")
    command = ["setpriv", "--pdeathsig", "TERM", program, "--cpu", str(hogs), "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


class Watched:
    """The processes that must stay, and how long `status` took."""

    def __init__(self, living: Life) -> None:
        self.living = living
        self.pids = self._pids()
        self.answers: list[float] = []

    def _pids(self) -> dict[str, int]:
        return {name: child["pid"] for name, child in self.living.children().items()}

    def check(self) -> None:
        began = now()
        found = self._pids()
        self.answers.append(now() - began)
        if found != self.pids:
            told = self.living.supervisor.stderr.splitlines()[-20:]
            raise Breach(f"a healthy child was replaced: {self.pids} → {found}\n" + "\n".join(told))

    def for_seconds(self, seconds: float) -> None:
        end = now() + seconds
        while now() < end:
            self.check()
            time.sleep(0.5)


def overload(living: Life, seconds: float, freeze: float, hogs: int = HOGS) -> Watched:
    living.project.write("mine.py", CODE)
    living.supervisor.start()
    living.wait_ready()
    watched = Watched(living)
    with stress(hogs):
        end = now() + seconds
        while (left := end - now()) > 0:
            watched.for_seconds(min(60.0, left))
            say(f"{hogs} hogs, {left:.0f} s to go: status {figures(watched.answers)}")
    _freeze(living, freeze)
    watched.for_seconds(5)
    _judge(living)
    return watched


def _freeze(living: Life, seconds: float) -> None:
    say(f"the supervisor is stopped for {seconds:g} s")
    os.kill(living.supervisor.pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(living.supervisor.pid, signal.SIGCONT)


def _judge(living: Life) -> None:
    for name, child in living.children().items():
        if child["restarts"] or child["starts"] != 1:
            raise Breach(f"{name} was started {child['starts']} times")
        ran = child.get("last_run")
        if ran is not None and ran["state"] not in ("ok", "running"):
            raise Breach(f"{name}: its last run is {ran}")
    if not living.project.lines("quick"):
        raise Breach("nothing ran")


def run(arguments: argparse.Namespace) -> Iterable[tuple[str, object]]:
    with life(config(), CODE) as living:
        watched = overload(living, arguments.minutes * 60, arguments.freeze, arguments.hogs)
        runs = len(living.project.lines("quick"))
    return [
        ("overload", f"{arguments.minutes:g} min of {arguments.hogs} hogs"),
        ("the supervisor frozen", f"{arguments.freeze:g} s"),
        ("children killed by mistake", f"0 of {len(watched.pids)}"),
        ("status meanwhile", figures(watched.answers)),
        ("runs of the one-second task", runs),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[2])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--freeze", type=float, default=60, help="seconds")
    parser.add_argument("--hogs", type=int, default=HOGS)
    return command(run, parser)


if __name__ == "__main__":
    sys.exit(main())
