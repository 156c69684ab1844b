"""RUNS IN THE COMMANDS of tests/chaos, and in pytest: a tree under test, figures, and a command's beginning and end."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chaos.proc import TAG, Seen, Tree
from support.eventually import eventually
from support.project import Project
from support.supervisor_process import NotAnswering, Supervisor

now = time.monotonic


class Breach(AssertionError):
    """A promise was broken."""


class Life:
    """A project with a `supervisor start` of its own, and the processes of its tree."""

    def __init__(self, folder: Path, config: str, code: str, **environment: str) -> None:
        self.project = Project(folder, config, code)
        self.tag = secrets.token_hex(8)
        self.tree = Tree(self.tag)
        self.supervisor = self.project.supervisor(**{TAG: self.tag}, **environment)

    def pids(self, role: str = "") -> list[int]:
        """Return the living processes of the tree, of all roles or of one."""
        return [pid for pid, seen in self.tree.living().items() if role in ("", seen.role)]

    def left(self) -> list[Seen]:
        return list(self.tree.living().values())

    def wait_gone(self, within: float) -> float:
        """Wait until nothing of the tree lives; return the seconds that it took."""
        begun = now()
        while self.tree.living():
            if now() > begun + within:
                raise Breach(f"after {within:g} s there still are {self.left()}")
            time.sleep(0.001)
        return now() - begun

    def wait_ready(self, within: float = 60.0) -> Supervisor:
        return self.supervisor.wait_ready(within)

    def children(self) -> dict[str, dict[str, Any]]:
        return {child["name"]: child for child in self.supervisor.status()["children"]}

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """As `Supervisor.request`; (0, None) when nobody answers."""
        try:
            return self.supervisor.request(method, path, body)
        except NotAnswering:
            return 0, None

    def signal(self, pids: Iterable[int], number: int) -> None:
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass  # it ended by itself

    def clean(self) -> None:
        self.supervisor.clean()
        self.signal(self.pids(), 9)
        eventually(lambda: not self.tree.living(), within=20, what="the tree is gone")


@contextmanager
def life(config: str, code: str, folder: Path | None = None, **environment: str) -> Iterator[Life]:
    """Without `folder` in a temporary one. The supervisor is not started yet; at the end nothing is left."""
    made = folder or Path(tempfile.mkdtemp(prefix="chaos-"))
    living = Life(made, config, code, **environment)
    try:
        yield living
    finally:
        living.clean()
        if folder is None:
            shutil.rmtree(made, ignore_errors=True)


def share(values: Sequence[float], part: float) -> float:
    """Return the value that the share `part` of all does not exceed.

    >>> share([3, 1, 2], 0.5)
    2
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def figures(values: Sequence[float], unit: float = 1000.0, name: str = "ms") -> str:
    """Say them as p50, p99 and the largest."""
    if not values:
        return "none"
    p50, p99 = share(values, 0.5), share(values, 0.99)
    return f"p50 {p50 * unit:.1f} {name}, p99 {p99 * unit:.1f} {name}, max {max(values) * unit:.1f} {name}"


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def table(rows: Iterable[tuple[str, object]]) -> None:
    made = [(name, str(value)) for name, value in rows]
    width = max((len(name) for name, _ in made), default=0)
    for name, value in made:
        print(f"  {name:<{width}}  {value}")
    sys.stdout.flush()


def load() -> str:
    return f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores"


def command(run: Callable[[argparse.Namespace], Iterable[tuple[str, object]]], parser: argparse.ArgumentParser) -> int:
    """Run it; print its figures, or the breach. Returns the exit code."""
    arguments = parser.parse_args()
    say(f"{Path(sys.argv[0]).name}: {load()}")
    begun = now()
    try:
        rows = run(arguments)
    except AssertionError as breach:
        say(f"BREACH: {breach}")
        print("  again: " + " ".join(sys.argv), flush=True)
        return 1
    say(f"held, after {now() - begun:.0f} s; {load()}")
    table(rows)
    return 0
