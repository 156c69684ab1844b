"""RUNS IN PYTEST: what a fault is made in: a project under a real supervisor, beside a child that must not notice."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.eventually import eventually
from support.project import NOTE, Project
from support.supervisor_process import Supervisor

HEAD = """
[supervisor]
grace_period = "1s"
backoff = { base = "100ms", max = "500ms", jitter = 0.0 }
heartbeat = { interval = "100ms", timeout = "2s" }
watch = false
"""
ONE = '\n[tasks.one]\nrun = "mine:tick"\nevery = "1h"\nrun_on_start = true\ntimeout = "1h"\n'
WELL = '\n[tasks.well]\nrun = "well:tick"\nevery = "1s"\n'
CONFIG = HEAD + ONE + WELL
FIRST = """
import ctypes, re, resource, subprocess, sys, threading
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def tick():
    note("runs", os.getpid())
    if len(open(os.path.join(HERE, "runs")).readlines()) == 1:
        harm()
    note("done", os.getpid())


def deaf(act):
    while True:
        try:
            while True:
                act()
        except BaseException:
            pass


def harm():
"""  # only the first run does harm: the next process must be well


@dataclass(frozen=True)
class Scene:
    project: Callable[..., Project]
    mounted: list[Path]  # tmpfs to be taken away at the end
    fixture: Callable[[str], Any]  # by its name: a real broker or database is started by the first who asks

    def harmful(self, body: str, config: str = CONFIG) -> Project:
        """Return a project in which the first run of `one` does `body`."""
        lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
        return self.written(FIRST + lines, config)

    def written(self, code: str, config: str = CONFIG) -> Project:
        made = self.project(config=config, code=NOTE + code)
        made.write("well.py", NOTE + "def tick():\n    note('well')\n")
        return made

    @contextmanager
    def heals(self, body: str, cause: str, says: str, config: str = CONFIG) -> Iterator[tuple[Project, Supervisor]]:
        """Do it; wait until `one` runs again, for this cause, and its neighbour has not noticed."""
        made = self.harmful(body, config)
        with made.supervisor() as supervisor:
            child = supervisor.wait_child("one", lambda child: child["ready"] and child["starts"] == 2, within=90)
            last = child["last_exit"]
            assert last["cause"] == cause, last
            assert says in last["reason"], last
            eventually(lambda: len(made.lines("done")) >= 1, within=60, what="the next process runs")
            assert supervisor.child("well")["restarts"] == 0 or "well" not in config
            yield made, supervisor

    def small_disk(self, made: Project, size: str = "512k") -> None:
        """Put the state folder on a file system of its own. Needs root."""
        made.state.mkdir(mode=0o700, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", str(made.state)], check=True)
        self.mounted.append(made.state)


def kept(supervisor: Supervisor) -> str:
    """Return all crash reports."""
    folder = supervisor.state / "crashes"
    return "\n".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


def told(supervisor: Supervisor, *command: str) -> dict[str, Any] | str:
    done = supervisor.cli(*command)
    return done.stdout + done.stderr


def may(*command: str) -> bool:
    """Whether this user may do so on this machine."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def has_cgroup(controller: str) -> bool:
    return _cgroups(controller) is not None


def _cgroups(controller: str) -> Path | None:
    """Where groups with this controller can be made: version 1, or version 2 where it is handed down."""
    root = Path("/sys/fs/cgroup")
    if os.access(root / controller / "cgroup.procs", os.W_OK):
        return root / controller
    handed_down = root / "cgroup.subtree_control"
    if os.access(handed_down, os.W_OK) and controller in handed_down.read_text().split():
        return root
    return None


def limit_memory(group: Path, amount: int) -> None:
    name = "memory.max" if (group / "memory.max").exists() else "memory.limit_in_bytes"
    (group / name).write_text(str(amount))


def started_in(group: Path) -> list[str]:
    """Return the words before a command that put it, and all it starts, into this group."""
    return ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"]


@contextmanager
def cgroup(controller: str) -> Iterator[Path]:
    """A group of our own; whoever was in it has ended at the end."""
    root = _cgroups(controller)
    if root is None:
        pytest.skip(f"needs to make a cgroup with the controller {controller}")
    group = root / f"forkwarden-fault-{os.getpid()}"
    group.mkdir()
    try:
        yield group
    finally:
        if controller == "freezer":
            (group / "freezer.state").write_text("THAWED")
        eventually(lambda: not (group / "cgroup.procs").read_text().split(), within=30)
        group.rmdir()
