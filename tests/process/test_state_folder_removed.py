"""The state folder removed under a running supervisor: all of it comes back, and children write where people look."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from support.eventually import eventually
from support.project import FAST, NOTE, Project

CONFIG = FAST + '\n[tasks.one]\nrun = "mine:one"\nevery = "1s"\n'
CODE = NOTE + "def one():\n    print('a line of its own')\n    note('ran')\n"


def test_children_get_new_processes_with_logs_and_ledgers_that_have_a_name(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code=CODE)
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        before = supervisor.pid_of("one")
        eventually(lambda: made.lines("ran"), within=20)
        shutil.rmtree(made.state)
        eventually(lambda: (made.state / "ctl.sock").exists(), within=20)
        child = supervisor.wait_child("one", lambda child: child["pid"] not in (None, before) and child["ready"])
        assert child["restarts"] == 0, "planned, and no failure of the child"
        log = made.state / "logs" / "one.log"
        eventually(lambda: log.exists() and "a line of its own" in log.read_text(), within=20)
        eventually(lambda: "ok" in made.run("history", "one").stdout, within=30, every=0.5)
