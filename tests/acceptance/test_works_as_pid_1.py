"""As a container runs it: the supervisor is process 1, and every orphan of the whole container comes to it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor
from support.system import of_this_session

UNSHARE = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
CONFIG = (
    FAST
    + """
[tasks.one]
run = "mine:tick"
every = "1h"
run_on_start = true
"""
)
CODE = (
    NOTE
    + """
import subprocess


def tick():
    for _ in range(20):
        subprocess.run("(sleep 0.2 &) ; true", shell=True)   # orphans, that end and want to be reaped
    note("parent", os.getppid())
"""
)


@pytest.fixture
def contained(project: Callable[..., Project]) -> Iterator[tuple[Project, Supervisor]]:
    if subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no right to make a PID namespace (needs root)")
    made = project(config=CONFIG, code=CODE)
    with Supervisor(made.config, prefix=UNSHARE) as supervisor:
        yield made, supervisor
        if supervisor.running:
            supervisor.kill()


def test_it_runs_reaps_orphans_and_stops_cleanly(contained: tuple[Project, Supervisor]) -> None:
    made, supervisor = contained
    supervisor.wait_ready()
    assert supervisor.status()["supervisor"]["pid"] == 1
    eventually(lambda: made.lines("parent") == ["1"], within=30)
    eventually(lambda: zombies(supervisor) == [], within=30, what="every orphan is reaped")
    assert supervisor.child("one")["state"] == "running"
    os.kill(first(supervisor), signal.SIGTERM)
    assert supervisor.wait() == 0, supervisor.stderr
    assert of_this_session() == []


def first(supervisor: Supervisor) -> int:
    """Return process 1 of the namespace, by its number out here."""
    with open(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children") as file:
        return int(file.read().split()[0])


def zombies(supervisor: Supervisor) -> list[str]:
    inner = first(supervisor)
    found = subprocess.run(
        ["ps", "-o", "pid=,stat=", "--ppid", str(inner)], capture_output=True, text=True, check=False
    )
    return [line for line in found.stdout.splitlines() if line.split()[1].startswith("Z")]


def test_a_child_that_is_killed_is_replaced_there_too(contained: tuple[Project, Supervisor]) -> None:
    _, supervisor = contained
    supervisor.wait_ready()
    before = supervisor.child("one")["starts"]
    os.kill(of_this_session("forkwarden: one")[0], signal.SIGKILL)
    supervisor.wait_child("one", lambda child: child["ready"] and child["starts"] > before)
