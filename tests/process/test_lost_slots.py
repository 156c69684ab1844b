"""A process dies that could not record what it started: no slot starts twice, and the history tells of each."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from support.disk import kept_full, of_its_own
from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor

TASK = """
[tasks.tick]
run = "mine:tick"
every = "1s"
catch_up = "all"
"""
CODE = NOTE + "def tick(ctx):\n    note('slots', ctx.scheduled_for.timestamp())\n"
STARTED = "started, not recorded"


@pytest.fixture
def made(project: Callable[..., Project]) -> Iterator[Project]:
    found = project(config=FAST + TASK, code=CODE)
    with of_its_own(found.state):
        yield found


def records(made: Project) -> list[dict[str, Any]]:
    done = made.run("history", "tick", "--json", "-n", "1000")
    assert done.returncode == 0, done.stderr
    return [record for record in json.loads(done.stdout) if record["kind"] == "schedule"]


def span(record: dict[str, Any]) -> tuple[float, float]:
    first = datetime.fromisoformat(record["slot"]).timestamp()
    return first, datetime.fromisoformat(record.get("last") or record["slot"]).timestamp()


def run_unrecorded(made: Project, supervisor: Supervisor, slots: int) -> None:
    """Wait until so many slots ran of which the ledger has nothing."""
    supervisor.wait_child("tick", lambda child: "history is not kept" in str(child.get("note")))
    before = len(made.lines("slots"))
    eventually(lambda: len(made.lines("slots")) >= before + slots, within=30)


def check(made: Project, supervisor: Supervisor) -> list[dict[str, Any]]:
    """Wait until runs are recorded again; no slot started twice, and each that started is in one record."""
    last = float(made.lines("slots")[-1])
    found = eventually(lambda: (rows := records(made))[-1]["state"] == "ok" and span(rows[-1])[0] > last and rows, 60)
    assert supervisor.stop() == 0, supervisor.stderr
    started = Counter(map(float, made.lines("slots")))
    assert {slot: count for slot, count in started.items() if count > 1} == {}
    found = records(made)
    for slot in started:
        (only,) = [record for record in found if span(record)[0] <= slot <= span(record)[1]]
        assert only["state"] in ("ok", "lost", "killed"), only
    lost = [record for record in found if record["state"] == "lost"]
    assert any(record.get("reason") == STARTED for record in lost), found
    return lost


def test_what_a_killed_process_could_not_record_does_not_start_again(made: Project) -> None:
    with made.supervisor() as supervisor:
        eventually(lambda: len(made.lines("slots")) >= 2, within=30)
        with kept_full(made.state) as ballast:
            run_unrecorded(made, supervisor, 3)
            pid = supervisor.pid_of("tick")
            os.kill(pid, signal.SIGSTOP)  # from here on it writes nothing, whatever room there is
        ballast.unlink()
        os.kill(pid, signal.SIGKILL)
        check(made, supervisor)


def test_nor_does_it_when_the_next_process_has_no_room_either(made: Project) -> None:
    with made.supervisor() as supervisor:
        eventually(lambda: len(made.lines("slots")) >= 2, within=30)
        with kept_full(made.state) as ballast:
            for slots in (2, 0, 1):
                if slots:
                    run_unrecorded(made, supervisor, slots)
                pid = supervisor.pid_of("tick")
                os.kill(pid, signal.SIGKILL)
                supervisor.wait_child("tick", lambda child, old=pid: child["ready"] and child["pid"] != old)
            run_unrecorded(made, supervisor, 1)
        ballast.unlink()
        check(made, supervisor)
