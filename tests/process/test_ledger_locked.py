"""Somebody else holds the ledger: runs go on, in time, status says that they are not recorded, until they are."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from support.tasks import Task

Make = Callable[..., Task]


@pytest.fixture
def task(tmp_path: Path) -> Make:
    return lambda code, **settings: Task(tmp_path, code, **settings)


def test_runs_go_on_in_time_and_are_recorded_when_the_lock_is_gone(task: Make) -> None:
    mail = task("def run(): ...", every=0.2)
    with mail.start() as child, closing(sqlite3.connect(mail.path, isolation_level=None)) as other:
        child.wait_run(count=2)
        other.execute("BEGIN EXCLUSIVE")
        facts = child.wait_facts(lambda f: f.get("note"))
        assert "runs go on, their history is not kept: database is locked" in facts["note"]
        before = len(child.runs)
        child.wait_run(count=before + 12)
        held = child.runs[before + 2 :]
        assert {run["state"] for run in held} == {"ok"}
        assert min(run["lateness"] for run in held) < 0.15, "no run waits for the lock"
        other.execute("COMMIT")
        child.wait_facts(lambda f: "note" in f and not f["note"])
        child.terminate()
        assert child.exit_code() == 0
        ran = [run["slot"] for run in child.runs if run["state"] == "ok"]
    assert [record["slot"] for record in mail.records if record["state"] == "ok"] == ran
    slots = [record["slot"] for record in mail.records]
    assert len(slots) == len(set(slots))
