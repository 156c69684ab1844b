"""RUNS IN THE USER'S TERMINAL: `supervisor start`: becomes the parent, while a copy of it reads config.toml.

The parent is this very process with another program in it (exec), so that the terminal, a container or systemd keep
the pid they started. The copy says what is wrong with the configuration, or hands the plan over and ends: so the
validator's imports and the parent's own take their time side by side, and none of the former stays behind.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
from collections.abc import Mapping
from importlib import metadata

import click

from supervisor.cli import report, terminal
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.core.errors import Exit, SupervisorError
from supervisor.core.held import WHILE_HELD
from supervisor.core.spec import override

RUN_ID = "FORKWARDEN_RUN_ID"
PLAN_FD = "FORKWARDEN_PLAN_FD"
READER = "FORKWARDEN_READER"  # the copy's pid: its exit code is the parent's when there is no plan
TOO_EARLY = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}  # wait until the parent can take them, and stop in order


@verb(example="supervisor start\nsupervisor start --log-format json   (in a container)")
@click.option("--dev", is_flag=True, help="Restart a child when the file of its code changes.")
@click.option("--log-format", type=click.Choice(["console", "json"]), help="Default: console on a terminal.")
@click.option("--while-held", is_flag=True, help="End 5 s after the last web process (supervisor.fastapi) left.")
def start(place: Place, dev: bool, log_format: str | None, while_held: bool) -> int:
    """Run everything in config.toml, in the foreground. Ctrl-C stops it, twice kills."""
    refuse_supervisord()
    if while_held:
        os.environ[WHILE_HELD] = "1"
    plan = become_parent()
    # User code is not tried here: what it does while it is imported (fork, hang, exit) harms its own child only.
    found = report.read(place, check_targets=False)
    report.problems(place, found.get("warnings"), warning=True)
    if not found["ok"]:
        count = report.problems(place, found.get("problems"))
        terminal.tell(f"{report.many(count, 'error')}, nothing was started")
        return Exit.USAGE
    said = ({"reload_code": True} if dev else {}) | ({"log_format": log_format} if log_format else {})
    with open(plan, "w", encoding="utf-8") as pipe:
        json.dump(override(found["plan"], said), pipe)
    return Exit.OK


def become_parent() -> int:
    """Return in a copy of this process only: the pipe in which the parent waits for the plan, which may hold passwords.

    What the copy says and its exit code are what `start` says and ends with when it hands nothing over.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a reload that comes too early: until the parent can hear it
    reader = os.fork()
    if reader == 0:
        return write
    os.set_inheritable(read, True)
    signal.pthread_sigmask(signal.SIG_BLOCK, TOO_EARLY)
    # -P: a file of the working folder that is called as a module of ours or of Python's is none of the parent's
    program = [sys.executable, "-P", "-m", "supervisor.parent"]
    os.execve(sys.executable, program, environment(os.environ, read, reader))


def environment(env: Mapping[str, str], plan: int, reader: int) -> dict[str, str]:
    """Return the parent's environment. SPT_NOENV: setproctitle would erase the block the guard finds us by."""
    return {**env, RUN_ID: secrets.token_hex(16), PLAN_FD: str(plan), READER: str(reader), "SPT_NOENV": "1"}


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
