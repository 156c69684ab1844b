"""`supervisor chaos`: the harm is real, it is written down who did it, and the child heals."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor

CONFIG = (
    FAST
    + """
heartbeat = { interval = "100ms", timeout = "3s" }

[tasks.one]
run = "mine:tick"
every = "1s"
max_rss = "150MiB"

[tasks.off]
run = "mine:tick"
every = "1h"
enabled = false
"""
)
CODE = NOTE + "\n\ndef tick():\n    note('runs', time.monotonic())\n"
CAUSES = {"kill": "crash", "stop": "hung", "hang": "stuck", "leak": "memory"}


@pytest.mark.parametrize("how", CAUSES)
def test_a_harmed_child_is_replaced_and_the_healing_can_be_watched(project: Callable[..., Project], how: str) -> None:
    made = project(config=CONFIG, code=CODE)
    with made.supervisor() as supervisor:
        old = supervisor.pid_of("one")
        told = supervisor.cli("chaos", "one", f"--{how}", "--yes", "--wait", timeout=120)
        assert told.returncode == 0, told.stderr
        assert told.stdout.startswith(f"one: {how} of pid {old}: ")
        assert told.stdout.splitlines()[-1].startswith("healed after ")
        child = supervisor.child("one")
        assert child["last_exit"]["cause"] == CAUSES[how]
        assert child["pid"] != old
        assert f"chaos one: {how}, asked for by uid" in supervisor.stderr
        assert any(event.get("event") == "chaos" for event in _events(made))
        ran = len(made.lines("runs"))
        eventually(lambda: len(made.lines("runs")) > ran, within=30, what="it runs again")


def test_a_slow_run_begins_late_once_and_nothing_is_replaced(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code=CODE)
    with made.supervisor() as supervisor:
        old = supervisor.pid_of("one")
        eventually(lambda: made.lines("runs"), within=30)
        told = supervisor.cli("chaos", "one", "--slow", "--yes", "--wait")
        assert told.returncode == 0, told.stderr
        assert "watch it heal: supervisor status --watch --config" in told.stdout
        eventually(lambda: max(_gaps(made), default=0.0) > 4.5, within=60, what="a gap of five seconds")
        assert supervisor.pid_of("one") == old


def test_without_a_terminal_it_must_be_meant(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code=CODE)
    with made.supervisor() as supervisor:
        old = supervisor.pid_of("one")
        refused = supervisor.cli("chaos", "one", "--kill")
        assert refused.returncode == 2
        assert "add --yes" in refused.stderr
        assert "say how: --kill, --hang, --stop, --leak, --slow" in supervisor.cli("chaos", "one", "--yes").stderr
        assert supervisor.pid_of("one") == old
        assert supervisor.child("one")["restarts"] == 0


def test_what_cannot_be_harmed_is_refused(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code=CODE)
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        assert _chaos(supervisor, "off", {"how": "kill"})[0] == 409
        assert _chaos(supervisor, "nobody", {"how": "kill"})[0] == 404
        assert _chaos(supervisor, "one", {"how": "burn"})[0] == 400
        assert supervisor.child("one")["restarts"] == 0


def _chaos(supervisor: Supervisor, name: str, body: dict[str, Any]) -> tuple[int, Any]:
    return supervisor.request("POST", f"/v1/children/{name}/chaos", body)


def _events(made: Project) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (made.state / "events").read_text().splitlines()]


def _gaps(made: Project) -> list[float]:
    times = [float(line) for line in made.lines("runs")]
    return [after - before for before, after in pairwise(times)]
