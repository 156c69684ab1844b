"""overlap = "cancel": a slot that is due ends the run that goes on, and then runs itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from supervisor.child.birth import LastExit
from supervisor.core.schedule.slots import Every
from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.tasks import Task

Make = Callable[..., Task]
CANCEL = {"overlap": "cancel", "kill_after": 0.1}


@pytest.fixture
def task(tmp_path: Path) -> Make:
    return lambda code, **settings: Task(tmp_path, code, **settings)


def at(record: Any, key: str = "slot") -> float:
    return datetime.fromisoformat(record[key]).timestamp()


ENDED = {
    "a coroutine that waits": "async def run(): await asyncio.sleep(60)",
    "a coroutine that holds up its loop": "async def run():\n    while True: pass",
    "a sleep": "def run(): time.sleep(60)",
    "a loop that asks": "def run(ctx):\n    while not ctx.should_stop(): time.sleep(0.01)",
    "a coroutine that cleans up": "async def run():\n    try: await asyncio.sleep(9)\n    finally: time.sleep(0.05)",
}


@pytest.mark.parametrize("kind", ENDED)
def test_the_next_slot_ends_a_run_and_runs(task: Make, kind: str) -> None:
    mail = task("import asyncio, time\n" + ENDED[kind], every=0.5, timeout=None, **CANCEL)
    with mail.start() as child:
        runs = [child.wait_run(count=n) for n in (1, 2, 3)]
        child.terminate()
        child.exit_code()
    for run in runs:
        assert (run["state"], run["reason"]) == ("interrupted", "overlap")
        assert "ended for the next slot" in run["error"]
    assert at(runs[0]) < at(runs[1]) < at(runs[2])
    assert at(runs[1], "started") >= at(runs[0], "finished")
    told = [s for r in mail.records for s in Every(0.5).between(at(r) - 0.001, at({"slot": r.get("last", r["slot"])}))]
    assert told == list(Every(0.5).between(told[0] - 0.001, told[-1]))  # each slot once, none between them untold


def test_a_run_that_is_done_before_the_next_slot_is_ok(task: Make) -> None:
    with task("def run(ctx): return ctx.should_stop()", every=0.5, **CANCEL).start() as child:
        assert [child.wait_run(count=n)["state"] for n in (1, 2)] == ["ok", "ok"]


def test_its_own_timeout_comes_first_and_is_no_overlap(task: Make) -> None:
    mail = task("import time\ndef run(): time.sleep(60)", every=86400.0, timeout=0.2, **CANCEL)
    with mail.start() as child:
        child.wait_ready()
        child.order("run", id="7")
        assert child.wait_run(id="7")["state"] == "timed_out"


def test_such_ends_are_no_failures(task: Make) -> None:
    mail = task("import time\ndef run(): time.sleep(60)", every=0.5, timeout=None, pause_after_failures=1, **CANCEL)
    with mail.start() as child:
        child.wait_run(count=3, reason="overlap")
        assert "paused" not in child.facts or child.facts["paused"] is None


def test_a_run_that_people_asked_for_is_cut_by_no_slot_and_the_last_slot_runs_after_it(task: Make) -> None:
    mail = task("import time\ndef run(ctx): time.sleep(1.2 if ctx.kind == 'manual' else 0)", every=0.5, **CANCEL)
    with mail.start() as child:
        child.wait_run(kind="schedule")
        child.order("run", id="7")
        by_hand = child.wait_run(id="7")
        assert by_hand["state"] == "ok"
        child.wait_run(kind="schedule", count=len([r for r in child.runs if r["kind"] == "schedule"]) + 2)
    after = [r for r in mail.records if r["kind"] == "schedule" and at(r) > at(by_hand)]
    assert [(r["state"], r.get("reason")) for r in after[:2]] == [("skipped", "overlap"), ("ok", None)]
    assert at(after[1], "started") >= at(by_hand, "finished")


def test_who_does_not_let_itself_be_ended_is_left_to_the_parent_and_recorded_as_killed(task: Make) -> None:
    """Then the slot that waited runs, also without catching up: no process was missing, one was in the way."""
    code = """
        import pathlib, time
        def run():
            done = pathlib.Path(__file__).parent / "done"
            while not done.exists():
                try: time.sleep(0.01)
                except BaseException: done.with_name("swallowed").touch()
    """
    mail = task(code, every=1.0, timeout=None, catch_up="none", **CANCEL)
    with mail.start() as child:
        doing = child.wait_doing("running")
        assert doing.budget is not None
        assert 5 < doing.budget <= 1.0 + 0.1 + 0.1 + 5
        eventually(lambda: (mail.folder / "swallowed").exists())
        going = mail.records[-1]
        assert (going["state"], going["reason"]) == ("interrupted", "overlap")  # true, whoever dies now
        child.kill()
        child.exit_code()
    (mail.folder / "done").touch()
    died = LastExit(cause="timed_out", reason="running for 6s", at=time.time())
    with mail.start(died) as child:
        killed = child.wait_run(state="killed")
        assert (killed["reason"], killed["error"]) == ("overlap", "running for 6s")
        child.wait_run(state="ok")
    assert not [r for r in mail.records if r["state"] == "missed" and r["reason"] == "down"]


@pytest.mark.parametrize("overlap", ["queue_one", "cancel"])
def test_a_task_that_always_overruns_still_takes_orders_and_is_recycled(task: Make, overlap: str) -> None:
    mail = task("import time\ndef run(): time.sleep(0.25)", every=0.1, overlap=overlap, kill_after=0.1, max_runs=8)
    with mail.start() as child:
        child.wait_run()
        child.order("run", id="7")
        assert child.wait_run(id="7")["kind"] == "manual"
        assert child.exit_code() == 0
        assert child.bye is not None
        assert len(child.runs) == 8


CODE = (
    NOTE
    + """
import hashlib
def stubborn(ctx):
    if not os.path.exists(os.path.join(HERE, "begun")):
        note("begun", os.getpid())
        hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2 ** 31 - 1)  # hears nothing
"""
)
CONFIG = """
[tasks.stubborn]
run = "mine:stubborn"
every = "2s"
overlap = "cancel"
kill_after = "100ms"
"""


def test_a_real_supervisor_kills_a_run_that_hears_nothing_for_the_next_slot(project: Callable[..., Project]) -> None:
    made = project(FAST + CONFIG, CODE)

    def history() -> list[dict[str, Any]]:
        said = made.run("history", "stubborn", "--json")
        return json.loads(said.stdout) if said.returncode == 0 and said.stdout else []

    with made.supervisor() as supervisor:
        (killed,) = eventually(lambda: [r for r in history() if r["state"] == "killed"], within=60)
        assert killed["reason"] == "overlap"
        eventually(lambda: [r for r in history() if r["state"] == "ok"], within=60)
        assert supervisor.stop() == 0
