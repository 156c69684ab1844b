"""The verbs that change something, against something that answers like the supervisor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from support.eventually import eventually
from support.project import Project
from support.stand_in import StandIn
from support.statuses import ABOUT, TASK1, child

CONFIG = """
# the truth
[tasks.task1]
enabled = true  # for now
run = "mine:tick"
every = "5m"
"""
CODE = """
def tick(tag="x"):
    print("hello")
    return {"sent": 3}

def broken():
    raise ValueError("no such user")

async def later(ctx, db):
    return [ctx.name, ctx.kind, db]

def database():
    yield "session"
    print("closed")
"""


@pytest.fixture
def own(project: Callable[..., Project]) -> Project:
    return project(CONFIG, CODE)


def answers(reply: dict[str, Any], code: int = 200) -> Callable[..., tuple[int, dict[str, Any]]]:
    return lambda method, path, body: (code, reply)


@pytest.mark.parametrize(
    ("arguments", "path", "body", "said"),
    [
        (["restart", "task1"], "task1/restart", {"now": False}, "task1: restarting\n"),
        (["restart", "orders:2", "--now"], "orders:2/restart", {"now": True}, "orders:2: restarting\n"),
        (["enable", "task1", "--note", "x"], "task1/enable", {"note": "x", "now": False}, "task1: enabled\n"),
        (
            ["disable", "task1", "--for", "2h", "--note", "db"],
            "task1/disable",
            {"for": 7200.0, "note": "db", "now": False},
            "task1: disabled for 2h\n",
        ),
        (["disable", "task1", "--now"], "task1/disable", {"for": None, "note": "", "now": True}, "task1: disabled\n"),
    ],
)
def test_a_verb_becomes_one_request(
    own: Project, arguments: list[str], path: str, body: dict[str, Any], said: str
) -> None:
    with StandIn(own.state, answers({})) as stand_in:
        done = own.run(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    assert stand_in.asked == [("POST", f"/v1/children/{path}", body)]


def test_several_names_are_all_tried_and_each_failure_is_told(own: Project) -> None:
    def answer(method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if path == "/v1/status":
            return 200, {"supervisor": ABOUT, "children": [TASK1]}
        return (200, {}) if "task1" in path else (404, {"error": "there is no such child"})

    with StandIn(own.state, answer) as stand_in:
        done = own.run("restart", "tsk1", "task1", "tks1")
    assert done.returncode == 4
    assert done.stdout == "task1: restarting\n"
    assert sorted(done.stderr.splitlines()) == [
        "error: there is no child 'tks1'; did you mean 'task1'?",
        "error: there is no child 'tsk1'; did you mean 'task1'?",
    ]
    assert [method for method, _, _ in stand_in.asked].count("POST") == 3


def test_a_conflict_is_one(own: Project) -> None:
    with StandIn(own.state, answers({"error": "task1 is disabled", "suggestion": "supervisor enable task1"}, 409)):
        done = own.run("run", "task1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: task1 is disabled; supervisor enable task1\n"


def test_stop_waits_until_the_lock_is_free(own: Project) -> None:
    with StandIn(own.state, answers({"stopping": True}, 202)) as stand_in:
        process = subprocess.Popen(
            [sys.executable, "-m", "supervisor", "stop", "--now"], cwd=own.folder, stdout=subprocess.PIPE, text=True
        )
        eventually(lambda: stand_in.asked == [("POST", "/v1/stop", {"now": True})])
        assert process.poll() is None
        stand_in.free_lock()
        said, _ = process.communicate(timeout=60)
    assert (process.returncode, said.split()[:2]) == (0, ["stopped", "in"])


def test_stop_of_nothing_says_that_nothing_runs(own: Project) -> None:
    done = own.run("stop")
    assert done.returncode == 3
    assert "is not running" in done.stderr


def test_reload_prints_the_plan(own: Project) -> None:
    reply = {"applied": False, "plan": [{"change": "update", "name": "task1", "what": "every 5m → 1m"}], "problems": []}
    with StandIn(own.state, answers(reply)) as stand_in:
        done = own.run("reload", "--dry-run")
    assert (done.returncode, done.stdout) == (0, "~ task1  every 5m → 1m  no restart\n")
    assert "nothing was applied" in done.stderr
    assert stand_in.asked == [("POST", "/v1/reload", {"dry_run": True})]


def test_a_refused_reload_tells_all_problems_and_ends_with_two(own: Project) -> None:
    rendered = 'config.toml:3: tasks.task1.every: expected a duration, found "x"\n    3 | every = "x"'
    problems = [{"file": "config.toml", "line": 3, "key": "tasks.task1.every", "text": "…", "rendered": rendered}]
    with StandIn(own.state, answers({"applied": False, "plan": [], "problems": problems, "warnings": []})):
        done = own.run("reload")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{rendered}\n1 error, nothing was changed\n"


@pytest.mark.parametrize(
    ("record", "code", "said"),
    [
        ({"state": "ok", "duration": 0.21, "result": '{"sent": 3}'}, 0, '✓ task1 ok in 0.21s\n  {"sent": 3}\n'),
        (
            {"state": "failed", "duration": 0.03, "error": "A: b\x1b\nc"},
            1,
            "✗ task1 failed in 0.03s\n  A: b\\x1b\n  c\n",
        ),
        (
            {"state": "skipped", "reason": "still going"},
            1,
            "✗ task1 skipped\n  still going\n",
        ),
    ],
)
def test_run_with_wait_prints_the_outcome(own: Project, record: dict[str, Any], code: int, said: str) -> None:
    with StandIn(own.state, answers({"run": record})) as stand_in:
        done = own.run("run", "task1", "--wait", "--slot", "2026-11-25T14:00:00Z")
    assert (done.returncode, done.stdout) == (code, said)
    assert stand_in.asked == [("POST", "/v1/children/task1/run", {"slot": 1795615200.0, "wait": True})]


def test_run_without_wait_says_where_to_look(own: Project) -> None:
    with StandIn(own.state, answers({"run": {"id": "7"}})):
        done = own.run("run", "task1")
    assert (done.returncode, done.stdout) == (0, "task1: will run as soon as it is free (supervisor history task1)\n")


def test_run_local_needs_no_supervisor_and_makes_nothing(own: Project) -> None:
    done = own.run("run", "task1", "--local")
    assert (done.returncode, done.stdout) == (0, "hello\n{'sent': 3}\n")
    assert done.stderr.startswith("✓ task1 ok in ")
    assert not own.state.exists()


def test_run_local_opens_and_closes_resources_also_for_coroutines(own: Project) -> None:
    own.configure('[resources]\ndb = "mine:database"\n[tasks.a]\nrun = "mine:later"\nevery = "5m"\n')
    done = own.run("run", "a", "--local", "--slot", "0")
    assert (done.returncode, done.stdout) == (0, "closed\n['a', 'manual', 'session']\n")


def test_run_local_shows_the_traceback_of_the_task_only(own: Project) -> None:
    own.configure('[tasks.a]\nrun = "mine:broken"\nevery = "5m"\n')
    done = own.run("run", "a", "--local")
    assert done.returncode == 1
    files = [text for text in done.stderr.splitlines() if text.startswith("  File ")]
    assert len(files) == 1
    assert "mine.py" in files[0]
    assert "ValueError: no such user" in done.stderr


def test_run_local_of_an_unknown_task_suggests_one(own: Project) -> None:
    done = own.run("run", "tsk1", "--local")
    assert (done.returncode, done.stderr) == (4, "error: there is no task 'tsk1'; did you mean 'task1'?\n")


def test_run_local_is_not_run_with_a_broken_config(own: Project) -> None:
    own.configure("[tasks.a]\nevry = 5\n")
    done = own.run("run", "a", "--local")
    assert done.returncode == 2
    assert "nothing was run" in done.stderr


def test_explain_asks_and_reads_the_log(own: Project) -> None:
    os.makedirs(own.state / "logs")
    line = {"time": "2026-11-25T14:07:14.020Z", "level": "error", "child": "task1", "pid": 1, "text": "no db\x1b"}
    (own.state / "logs" / "task1.log").write_text(json.dumps(line) + "\n")
    with StandIn(own.state, answers(TASK1)) as stand_in:
        done = own.run("explain", "task1")
    assert done.returncode == 0
    assert done.stdout.startswith("task1 is in backoff: ConnectionError: db:5432 refused. 3 failures in a row.")
    assert "ERROR no db\\x1b\n" in done.stdout
    assert stand_in.asked == [("GET", "/v1/children/task1", {})]


def test_explain_of_a_group_explains_every_member(own: Project) -> None:
    members = [child("orders:1", group="orders", kind="consumer"), child("orders:2", group="orders", kind="consumer")]
    with StandIn(own.state, answers({"name": "orders", "members": members})):
        done = own.run("explain", "orders")
    assert [text for text in done.stdout.splitlines() if not text.startswith(" ")] == [
        "orders:1 is running.",
        "orders:2 is running.",
    ]
