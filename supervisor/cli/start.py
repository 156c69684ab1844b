"""RUNS IN THE USER'S TERMINAL: `supervisor start`: reads config.toml here, then becomes the parent.

The parent is this very process with another program in it (exec): the validator and all that was imported for it
stay behind, and the terminal, a container or systemd keep the pid they started.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any, NoReturn

import click

from supervisor.cli import report, terminal
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.core.errors import Exit, SupervisorError
from supervisor.core.held import WHILE_HELD
from supervisor.core.spec import override

RUN_ID = "FORKWARDEN_RUN_ID"
PLAN_FD = "FORKWARDEN_PLAN_FD"


@verb(example="supervisor start\nsupervisor start --log-format json   (in a container)")
@click.option("--dev", is_flag=True, help="Restart a child when the file of its code changes.")
@click.option("--log-format", type=click.Choice(["console", "json"]), help="Default: console on a terminal.")
@click.option("--while-held", is_flag=True, help="End 5 s after the last web process (supervisor.fastapi) left.")
def start(place: Place, dev: bool, log_format: str | None, while_held: bool) -> int:
    """Run everything in config.toml, in the foreground. Ctrl-C stops it, twice kills."""
    refuse_supervisord()
    # User code is not tried here: what it does while it is imported (fork, hang, exit) harms its own child only.
    found = report.read(place, check_targets=False)
    report.problems(place, found.get("warnings"), warning=True)
    if not found["ok"]:
        count = report.problems(place, found.get("problems"))
        terminal.tell(f"{report.many(count, 'error')}, nothing was started")
        return Exit.USAGE
    said = ({"reload_code": True} if dev else {}) | ({"log_format": log_format} if log_format else {})
    if while_held:
        os.environ[WHILE_HELD] = "1"
    become_parent(override(found["plan"], said))


def become_parent(plan: Mapping[str, Any]) -> NoReturn:
    fd = in_memory(plan)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a reload that comes too early: until the parent can hear it
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-m", "supervisor.parent"], environment(os.environ, fd))


def in_memory(plan: Mapping[str, Any]) -> int:
    """Return a descriptor, kept over exec, from which the plan can be read: it may hold passwords, so no file."""
    fd = os.memfd_create("forkwarden-plan", 0)
    os.set_inheritable(fd, True)
    with open(fd, "w", encoding="utf-8", closefd=False) as file:
        json.dump(plan, file)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def environment(env: Mapping[str, str], fd: int) -> dict[str, str]:
    """Return the parent's environment. SPT_NOENV: setproctitle would erase the block the guard finds us by."""
    return {**env, RUN_ID: secrets.token_hex(16), PLAN_FD: str(fd), "SPT_NOENV": "1"}


def refuse_supervisord() -> None:
    """Raise when Supervisord is installed in the same environment."""
    try:
        version = metadata.distribution("supervisor").version
    except metadata.PackageNotFoundError:
        return
    raise SupervisorError(
        f"Supervisord {version} is installed here, and its import package is called `supervisor`, as ours is:"
        "\n  one of the two overwrote files of the other. Use another environment, or"
        "\n  pip uninstall supervisor forkwarden && pip install forkwarden"
    )
