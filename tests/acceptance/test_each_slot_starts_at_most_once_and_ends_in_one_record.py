"""The user's function writes its slot before anything else; the ledger must agree, whatever was killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project

CONFIG = (
    FAST
    + """
[tasks.tick]
run = "mine:tick"
every = "500ms"
timeout = "30s"
"""
)
CODE = (
    NOTE
    + """
def tick(ctx):
    note("started", f"{ctx.kind} {ctx.slot!r} {ctx.attempt}")
    time.sleep(0.05)
    note("ended", f"{ctx.kind} {ctx.slot!r} {ctx.attempt}")
"""
)
ENDED = {"ok", "failed", "timed_out", "killed", "interrupted", "lost", "skipped", "missed"}


@pytest.fixture
def made(project: Callable[..., Project]) -> Project:
    return project(config=CONFIG, code=CODE)


def more(made: Project, runs: int = 3) -> None:
    """Wait until so many further runs have started."""
    seen = len(made.lines("started"))
    eventually(lambda: len(made.lines("started")) >= seen + runs, within=40)


def records(made: Project) -> list[dict[str, Any]]:
    history = made.run("history", "tick", "--json", "-n", "10000")
    assert history.returncode == 0, history.stderr
    found: list[dict[str, Any]] = json.loads(history.stdout)
    return found


def judge(made: Project) -> None:
    started = Counter(made.lines("started"))
    assert [line for line, count in started.items() if count > 1] == [], "a slot started twice"
    found = records(made)
    slots = Counter((record["slot"], record["kind"]) for record in found if record["state"] != "missed")
    assert [slot for slot, count in slots.items() if count > 1] == [], "two records of one slot"
    assert {record["state"] for record in found} <= ENDED | {"running"}
    recorded = {epoch(record["slot"]): record["state"] for record in found}
    for line in started:
        slot = float(line.split()[1])
        assert recorded.get(slot) in ENDED, f"slot {slot} started and has no record"
    for line in made.lines("ended"):
        assert recorded[float(line.split()[1])] in ("ok", "interrupted", "killed", "lost"), line


def epoch(slot: Any) -> float:
    return slot if isinstance(slot, float) else datetime.fromisoformat(slot).timestamp()


def test_with_nothing_wrong_every_slot_is_ok(made: Project) -> None:
    with made.supervisor() as supervisor:
        more(made, 6)
        assert supervisor.stop() == 0
    judge(made)
    slots = [float(line.split()[1]) for line in made.lines("started")]
    assert all(slot % 0.5 == 0 for slot in slots), "slots lie on the grid"
    assert {record["state"] for record in records(made)} <= {"ok", "interrupted", "missed", "skipped"}


def test_over_kills_of_the_child(made: Project) -> None:
    with made.supervisor() as supervisor:
        for _ in range(4):
            more(made, 2)
            os.kill(supervisor.pid_of("tick"), signal.SIGKILL)
        more(made)
        supervisor.stop()
    judge(made)


def test_over_kills_of_the_supervisor(made: Project) -> None:
    with made.supervisor() as supervisor:
        for _ in range(3):
            more(made, 2)
            supervisor.kill()
            supervisor.start()
        more(made)
        supervisor.stop()
    judge(made)


def test_over_disable_enable_and_restart(made: Project) -> None:
    with made.supervisor() as supervisor:
        more(made, 2)
        assert supervisor.cli("disable", "tick").returncode == 0
        assert supervisor.cli("enable", "tick").returncode == 0
        more(made, 2)
        assert supervisor.cli("restart", "tick").returncode == 0
        more(made, 2)
        supervisor.stop()
    judge(made)


def test_a_run_that_is_killed_in_the_middle_is_recorded_so(project: Callable[..., Project]) -> None:
    code = NOTE + "def tick(ctx):\n    note('started', f'{ctx.kind} {ctx.slot!r} {ctx.attempt}')\n    time.sleep(600)\n"
    config = CONFIG.replace('"500ms"', '"1h"\nrun_on_start = true')
    made = project(config=config, code=code)
    with made.supervisor() as supervisor:
        more(made, 1)
        os.kill(supervisor.pid_of("tick"), signal.SIGKILL)
        supervisor.wait_child("tick", lambda child: child["ready"] and child["restarts"])
        (record,) = [record for record in records(made) if epoch(record["slot"]) == slot_of(made, 0)]
        assert record["state"] in ("killed", "lost")


def slot_of(made: Project, number: int) -> float:
    return float(made.lines("started")[number].split()[1])


def test_a_manual_run_waits_and_tells_its_end(made: Project) -> None:
    made.configure(CONFIG.replace('"500ms"', '"1h"'))
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        ran = supervisor.cli("run", "tick", "--wait")
        assert ran.returncode == 0, ran.stderr
    (record,) = [record for record in records(made) if record["kind"] == "manual"]
    assert record["state"] == "ok"
