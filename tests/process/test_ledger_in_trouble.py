"""A ledger is locked, full, or corrupt under a real supervisor: runs go on, and status tells what has no record."""

from __future__ import annotations

import json
import resource
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor

NAMES = ("locked", "full", "corrupt")
CONFIG = FAST + "".join(f'[tasks.{name}]\nrun = "mine:{name}"\nevery = "300ms"\n' for name in NAMES)
CODE = NOTE + "".join(f"\n\ndef {name}():\n    note('{name}')\n" for name in NAMES)


def test_runs_go_on_and_status_says_so(project: Callable[..., Project]) -> None:
    made = project(CONFIG, CODE)
    files = {name: made.state / "history" / f"{name}.db" for name in NAMES}
    with made.supervisor() as supervisor:
        for name in NAMES:
            eventually(lambda name=name: records(made, name), within=30)  # type: ignore[misc]
        with closing(sqlite3.connect(files["locked"], isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.prlimit(supervisor.pid_of("full"), resource.RLIMIT_FSIZE, (4096, hard))
            for name, why in (("locked", "database is locked"), ("full", "disk")):
                note = supervisor.wait_child(name, lambda child: child.get("note"), within=60)["note"]
                assert note.startswith("runs go on, their history is not kept: ")
                assert why in note
                assert note[:40] in supervisor.cli("explain", name).stdout.replace("\n" + 16 * " ", " ")
                goes_on(made, name)
            resource.prlimit(supervisor.pid_of("full"), resource.RLIMIT_FSIZE, (hard, hard))
        for name in ("locked", "full"):
            supervisor.wait_child(name, lambda child: not child.get("note"), within=60)
            ran = len(made.lines(name))
            eventually(lambda name=name, ran=ran: len(records(made, name)) >= ran, within=30)  # type: ignore[misc]
        overwrite(supervisor, made, files["corrupt"])
        spoil(supervisor, made, files["corrupt"])
        assert supervisor.stop() == 0


def overwrite(supervisor: Supervisor, made: Project, file: Path) -> None:
    """It is noticed by the process that has it open: what it still knows goes into a new file, and it is told."""
    before = len(records(made, "corrupt"))
    with open(file, "r+b") as opened:
        opened.write(b"no database" * 1000)
    eventually(lambda: "it was moved to " in supervisor.cli("events", "--json").stdout, within=30, every=0.1)
    assert list(file.parent.glob("corrupt.db.unreadable-*"))
    goes_on(made, "corrupt")
    eventually(lambda: len(records(made, "corrupt")) >= before + 3, within=30, what="old and new records")


def spoil(supervisor: Supervisor, made: Project, file: Path) -> None:
    """What is found in a new process: the file is moved aside, the history begins anew."""
    assert supervisor.cli("disable", "corrupt", "--now").returncode == 0
    supervisor.wait_child("corrupt", lambda child: child["state"] == "stopped")
    for path in file.parent.glob("corrupt.db*"):
        path.write_bytes(b"no database" * 1000)
    assert supervisor.cli("enable", "corrupt").returncode == 0
    goes_on(made, "corrupt")
    assert "corrupt.db: file is not a database; it was moved to " in supervisor.cli("events", "--json").stdout
    assert list(file.parent.glob("corrupt.db.unreadable-*"))
    eventually(lambda: records(made, "corrupt"), within=30)


def goes_on(made: Project, name: str) -> None:
    seen = len(made.lines(name))
    eventually(lambda: len(made.lines(name)) >= seen + 3, within=30)


def records(made: Project, name: str) -> list[dict[str, Any]]:
    done = made.run("history", name, "--json", "-n", "1000")
    found: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
    return [record for record in found if record["state"] == "ok"]
