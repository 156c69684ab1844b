"""`supervisor schedule`, and what `check` says of schedules: from config.toml and the ledgers, supervisor or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from supervisor.child.schedule.ledger_file import COLUMNS, UPSERT, connect
from support.project import FAST, NOTE, Project

Make = Callable[..., Project]
TASKS = """
[tasks.tick]
run = "mine:tick"
every = "30s"

[tasks.nightly]
run = "mine:tick"
at = "02:30"
timezone = "Europe/Berlin"

[tasks.over]
run = "mine:tick"
once = "2020-01-01T00:00:00Z"
"""
CODE = NOTE + "def tick():\n    pass\n"


@pytest.fixture
def made(project: Make) -> Project:
    return project(FAST + TASKS, CODE)


def ahead(made: Project, *more: str) -> dict[str, Any]:
    done = made.run("schedule", "--json", *more)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_all_tasks_are_in_one_table_by_time_without_a_supervisor(made: Project) -> None:
    found = ahead(made)
    assert [each["task"] for each in found["slots"]] == ["tick"] * 3 + ["nightly"] * 3
    assert [each["slot"] for each in found["slots"]] == sorted(each["slot"] for each in found["slots"])
    assert found["slots"][-1]["wall"][11:19] == "02:30:00"
    shown = made.run("schedule")
    assert shown.stdout.splitlines()[0].split() == ["SLOT", "IN", "TASK", "NOTE", "SCHEDULE"]
    assert "at 02:30 Europe/Berlin" in shown.stdout
    assert "over: no slot to come in this time (once at 2020-01-01 00:00:00Z)" in shown.stderr


def test_within_a_year_a_gap_and_a_fold_are_flagged(made: Project) -> None:
    found = ahead(made, "nightly", "--days", "366", "--next", "400")
    shifts = [each["dst"] for each in found["slots"] if each["dst"]]
    assert sorted(shifts) == ["fold", "gap"]
    table = made.run("schedule", "nightly", "--days", "366").stdout
    assert "DST gap: its time is skipped" in table
    assert "DST fold: this time comes twice, the first" in table


def test_it_shows_the_toggles_of_a_running_supervisor(made: Project) -> None:
    with made.supervisor() as supervisor:
        supervisor.wait_child("tick", lambda child: bool(child["ready"]))
        assert supervisor.cli("disable", "tick").returncode == 0
        found = {each["task"]: each["enabled"] for each in ahead(made)["tasks"]}
        assert found == {"tick": False, "nightly": True, "over": True}
        assert "disabled" in made.run("schedule", "tick").stdout


def test_a_toggle_with_an_end_is_over_for_the_slots_behind_it(made: Project) -> None:
    with made.supervisor() as supervisor:
        supervisor.wait_child("nightly", lambda child: bool(child["ready"]))
        assert supervisor.cli("disable", "nightly", "--for", "7d", "--note", "no db").returncode == 0
        found = ahead(made, "nightly", "--next", "9")
        enabled = [each["enabled"] for each in found["slots"]]
        assert enabled == sorted(enabled)  # off, then on
        assert enabled.count(False) in (6, 7, 8)
        assert found["tasks"][0]["override"]["note"] == "no db"
        lines = made.run("schedule", "nightly", "--next", "9").stdout.splitlines()[1:]
        assert ["disabled, off by" in each and "left: no db" in each for each in lines] == [not on for on in enabled]


def test_slots_that_do_not_fit_on_the_page_are_not_left_out_silently(made: Project) -> None:
    shown = made.run("schedule", "tick", "--days", "1")
    assert len(shown.stdout.splitlines()) == 1 + 500
    assert "tick: only the first 500 slots are shown (--next N for more)" in shown.stderr
    assert ahead(made, "tick", "--days", "1")["tasks"][0]["more"] is True
    assert ahead(made, "nightly", "--days", "1")["tasks"][0]["more"] is False
    assert "are shown" not in made.run("schedule", "tick", "--days", "1", "--next", "5").stderr


def test_runs_that_take_longer_than_the_interval_are_named(made: Project) -> None:
    (made.config.parent / ".supervisor" / "history").mkdir(parents=True, mode=0o700)
    db = connect(str(made.config.parent / ".supervisor" / "history" / "tick.db"))
    for n in range(20):
        row = {"slot": 1_795_590_000.0 + 60 * n, "kind": "schedule", "state": "ok", "duration": 31.5}
        db.execute(UPSERT, [row.get(column) for column in COLUMNS])
    db.close()
    said = "its interval of 30s cannot be met: 1 in 20 of the last 20 runs took 32s or more"
    checked = made.run("check")
    assert checked.returncode == 0
    assert "tasks.tick: " + said in checked.stderr
    assert "tasks.nightly: a time of it does not exist on" in checked.stderr
    assert "warning: tick: " + said in made.run("schedule").stderr
    (tick,) = ahead(made, "tick")["tasks"]
    assert (tick["p95"], tick["runs"], tick["interval"]) == (31.5, 20, 30.0)


def test_a_ledger_that_cannot_be_read_keeps_nothing_from_being_shown(made: Project) -> None:
    folder = made.config.parent / ".supervisor" / "history"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "tick.db").write_bytes(b"no database" * 1000)
    assert [each["task"] for each in ahead(made, "tick")["slots"]] == ["tick"] * 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nope"], 4, "there is no task 'nope'"),
        (["tick", "--next", "0"], 2, "--next"),
        (["tick", "--days", "0"], 2, "--days"),
    ],
)
def test_a_wrong_question_is_answered(made: Project, arguments: list[str], code: int, said: str) -> None:
    done = made.run("schedule", *arguments)
    assert done.returncode == code
    assert said in done.stderr


def test_a_broken_configuration_is_explained(project: Make) -> None:
    made = project('[tasks.a]\nrun = "mine:tick"\nevery = "30"\n', CODE)
    done = made.run("schedule")
    assert (done.returncode, done.stdout) == (2, "")
    assert "tasks.a.every: expected a duration" in done.stderr
