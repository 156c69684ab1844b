"""The parent says that a task is overdue, whatever its own process does; no alert has to be configured for that."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from support.eventually import eventually
from support.project import FAST, NOTE, Project

CODE = (
    NOTE
    + """
import json, sys, time
def late():
    assert os.path.exists(os.path.join(HERE, "healed")), "not yet"
def tell(record):
    print("to the log")
    note("told", json.dumps(record))
def harm(record):
    note("harmed", "x")
    sys.exit(3)
def hangs():
    time.sleep(3600)
"""
)
TASK = """
[tasks.{name}]
run = "mine:{run}"
every = "1s"
expect_within = "2s"
on_overdue = "mine:{hook}"
"""


def events(made: Project) -> list[dict[str, Any]]:
    said = made.run("events", "--json")
    return [json.loads(line) for line in said.stdout.splitlines()] if said.returncode == 0 else []


def test_an_overdue_task_is_told_once_until_it_is_well_again(project: Callable[..., Project]) -> None:
    made = project(FAST + TASK.format(name="late", run="late", hook="tell"), CODE)
    with made.supervisor() as supervisor:
        eventually(lambda: made.lines("told"), within=60)
        (record,) = map(json.loads, made.lines("told"))
        assert (record["task"], record["state"]) == ("late", "overdue")
        assert "no run has ended well since the slot" in record["reason"]
        assert record["slot"].endswith("Z")
        ran = supervisor.child("late")["last_run"]["slot"]
        eventually(lambda: supervisor.child("late")["last_run"]["slot"] > ran, within=60, every=0.3)
        assert len(made.lines("told")) == 1, "a failed run more is no second overdue"
        told = [each for each in events(made) if each.get("event") == "overdue"]
        assert [each["child"] for each in told] == ["late"]
        assert supervisor.stop() == 0


def test_a_task_that_hangs_is_overdue_and_a_hook_that_fails_harms_nobody(project: Callable[..., Project]) -> None:
    made = project(FAST + TASK.format(name="hung", run="hangs", hook="harm"), CODE)
    with made.supervisor() as supervisor:
        eventually(lambda: made.lines("harmed"), within=60)
        failed = eventually(
            lambda: [each for each in events(made) if each.get("event") == "hook_failed"], within=60, every=0.3
        )
        assert "on_overdue failed: SystemExit: 3 (mine.py:" in failed[0]["text"]
        assert supervisor.child("hung")["state"] == "running"
