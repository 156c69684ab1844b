"""How a run of a task ends before its time: soft timeouts, SIGTERM, kill -9, retries, pauses, a clock that is set."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from supervisor.child.birth import LastExit
from supervisor.core.schedule.missed import Range
from supervisor.core.schedule.slots import Every
from support.eventually import eventually
from support.tasks import Task

Make = Callable[..., Task]
ALWAYS = {"every": 86400.0 * 365, "catch_up": "none", "history_keep": 1e10}  # no slot while a test runs


@pytest.fixture
def task(tmp_path: Path) -> Make:
    return lambda code, **settings: Task(tmp_path, code, **settings)


def slot(record: Any) -> float:
    return datetime.fromisoformat(record["slot"]).timestamp()


def marked(folder: Path, name: str = "mark") -> bool:
    return (folder / name).exists()


MARK = """
    import asyncio, pathlib, signal, threading, time
    def mark(name="mark"):
        (pathlib.Path(__file__).parent / name).touch()
    def marked(name):
        return (pathlib.Path(__file__).parent / name).exists()
"""

# -- timeouts ---------------------------------------------------------------------------------------------------------

SOFT = {
    "a loop": "def run():\n    while True: pass",
    "a sleep": "def run(): time.sleep(60)",
    "a lock": "def run():\n    lock = threading.Lock()\n    lock.acquire()\n    lock.acquire()",
    "a socket": "def run():\n    import socket\n    a, b = socket.socketpair()\n    a.recv(1)",
    "a regular expression": "def run():\n    import re\n    re.match(r'(a+)+$', 'a' * 40 + 'b')",
    "except Exception": "def run():\n    while True:\n        try: time.sleep(0.01)\n        except Exception: pass",
    "a coroutine that waits": "async def run(): await asyncio.sleep(60)",
    "a coroutine that holds up its loop": "async def run():\n    while True: pass",
    "a coroutine in a sleep of time": "async def run(): time.sleep(60)",
    "opening a resource": "def db(): time.sleep(60)\ndef run(db): ...",
}


@pytest.mark.parametrize("kind", SOFT)
def test_a_soft_timeout_ends_the_run_and_not_the_process(task: Make, kind: str) -> None:
    code = "import asyncio, threading, time\n" + SOFT[kind]
    resources = {"db": "mine:db"} if "def db" in code else {}
    with task(code, every=0.5, timeout=0.2, resources=resources).start() as child:
        first, second = child.wait_run(), child.wait_run(count=2)
        assert (first["state"], second["state"]) == ("timed_out", "timed_out")
        assert "not done within its timeout of 0.2s" in first["error"]


def test_a_resource_is_closed_after_a_timeout(task: Make) -> None:
    code = MARK + "    def db():\n        try: yield 1\n        finally: mark()\n    def run(db): time.sleep(60)\n"
    mail = task(code, every=0.5, timeout=0.2, resources={"db": "mine:db"})
    with mail.start() as child:
        child.wait_run(state="timed_out")
        assert marked(mail.folder)


def test_a_run_that_swallows_everything_stays_beyond_its_budget_for_the_parent_to_see(task: Make) -> None:
    code = MARK + (
        "    def run():\n"
        "        while True:\n"
        "            try:\n"
        "                while True: time.sleep(0.01)\n"
        "            except BaseException: mark('swallowed')\n"
    )
    mail = task(code, every=0.3, timeout=0.2, kill_after=0.1)
    with mail.start() as child:
        doing = child.wait_doing("running")
        assert doing.budget == pytest.approx(0.2 + 0.1 + 5)
        eventually(lambda: marked(mail.folder, "swallowed"))
        assert child.doing() == doing  # nothing entered since: the verdict is the parent's
        child.kill()
        child.exit_code()
    with mail.start(LastExit(cause="timed_out", reason="running for 6s, allowed 5.3s")) as child:
        assert child.wait_run(state="timed_out")["error"] == "running for 6s, allowed 5.3s"


def test_a_task_without_a_timeout_has_no_budget(task: Make) -> None:
    with task("import time\ndef run(): time.sleep(60)", every=0.3, timeout=None).start() as child:
        assert child.wait_doing("running").budget is None


def test_a_resting_runner_has_a_budget(task: Make) -> None:
    with task("def run(): ...", **ALWAYS).start() as child:
        doing = child.wait_doing("idle")
        assert doing.budget is not None
        assert 30 <= doing.budget <= 60


# -- stopping ---------------------------------------------------------------------------------------------------------

RUN_UNTIL_GO = {
    "a function": MARK
    + "    def run():\n        mark()\n        while not marked('go'): time.sleep(0.01)\n        return 'done'\n",
    "a coroutine": MARK
    + "    async def run():\n        mark()\n        while not marked('go'): await asyncio.sleep(0.01)\n"
    + "        return 'done'\n",
}


@pytest.mark.parametrize("kind", RUN_UNTIL_GO)
def test_sigterm_marks_the_run_at_once_and_it_may_still_finish(task: Make, kind: str) -> None:
    mail = task(RUN_UNTIL_GO[kind], every=0.3)
    with mail.start() as child:
        eventually(lambda: marked(mail.folder))
        child.terminate()
        eventually(lambda: mail.records[-1]["state"] == "interrupted")
        (mail.folder / "go").touch()
        assert child.exit_code() == 0
        assert child.wait_run()["state"] == "ok"
    assert mail.records[0]["state"] == "ok"


@pytest.mark.parametrize("kind", RUN_UNTIL_GO)
def test_a_run_that_does_not_finish_in_the_grace_period_is_interrupted(task: Make, kind: str) -> None:
    mail = task(RUN_UNTIL_GO[kind], every=0.3)
    with mail.start() as child:
        eventually(lambda: marked(mail.folder))
        child.terminate()
        eventually(lambda: mail.records[-1]["state"] == "interrupted")
        child.kill()
        assert child.exit_code() == -signal.SIGKILL
    (mail.folder / "go").touch()
    with mail.start(LastExit(cause="planned", reason="stopped")) as child:
        assert child.wait_run()["state"] == "interrupted"


def test_kill_9_in_a_run_leaves_the_truth_and_that_slot_never_runs_again(task: Make) -> None:
    mail = task(RUN_UNTIL_GO["a function"], every=0.3, catch_up="all", catch_up_limit=1000)
    with mail.start() as child:
        eventually(lambda: marked(mail.folder))
        child.kill()
        child.exit_code()
    killed = mail.records[-1]
    assert killed["state"] == "running"
    (mail.folder / "go").touch()
    with mail.start(LastExit(cause="crash", reason="signal SIGKILL")) as child:
        lost = child.wait_run(state="lost")
        assert (lost["slot"], lost["error"]) == (killed["slot"], "signal SIGKILL")
        child.wait_run(state="ok")
        assert [r["slot"] for r in child.runs].count(killed["slot"]) == 1


@pytest.mark.parametrize("kind", RUN_UNTIL_GO)
def test_a_drain_lets_the_run_finish_and_starts_no_other(task: Make, kind: str) -> None:
    mail = task(RUN_UNTIL_GO[kind], every=0.3)
    with mail.start() as child:
        eventually(lambda: marked(mail.folder))
        child.order("drain")
        (mail.folder / "go").touch()
        assert child.exit_code() == 0
        assert [r["state"] for r in child.runs].count("ok") == 1
    assert [r["state"] for r in mail.records if r["state"] != "skipped"] == ["ok"]


def test_a_resting_process_leaves_at_once(task: Make) -> None:
    with task("async def run(): ...", **ALWAYS).start() as child:
        child.wait_doing("idle")
        child.terminate()
        assert child.exit_code() == 0


UNTIL_TOLD = (
    MARK
    + """
    def run(ctx):
        mark()
        while not ctx.should_stop(): time.sleep(0.01)
        return 'early'
"""
)


def test_a_long_loop_sees_that_it_should_stop(task: Make) -> None:
    mail = task(UNTIL_TOLD, every=0.3)
    with mail.start() as child:
        eventually(lambda: marked(mail.folder))
        child.terminate()
        assert child.exit_code() == 0
        assert child.wait_run()["result"] == '"early"'


def test_after_so_many_runs_the_process_asks_to_be_replaced(task: Make) -> None:
    with task("def run(): ...", every=0.2, max_runs=2).start() as child:
        assert child.exit_code() == 0
        assert len(child.runs) == 2
        assert child.bye is not None
        assert child.bye.reason.startswith("recycle: max_runs")


# -- orders -----------------------------------------------------------------------------------------------------------


def test_a_run_by_order_answers_with_its_id(task: Make) -> None:
    with task("def run(ctx): return ctx.kind", **ALWAYS).start() as child:
        child.wait_ready()
        child.order("run", id="a1", kind="manual")
        assert (run := child.wait_run(id="a1"))["state"] == "ok"
        assert run["kind"] == "manual"
        child.order("run", id="a2", kind="backfill", slot=1_700_000_000)
        run = child.wait_run(id="a2")
        assert (run["kind"], run["slot"]) == ("backfill", "2023-11-14T22:13:20.000Z")


def test_a_run_by_order_that_comes_too_late_is_answered_too(task: Make) -> None:
    mail = task(UNTIL_TOLD, every=0.3)
    with mail.start() as child:
        eventually(lambda: marked(mail.folder))
        child.order("run", id="late")
        child.order("drain")
        assert child.exit_code() == 0
        late = child.wait_run(id="late")
        assert (late["state"], late["reason"]) == ("skipped", "stopping")


@pytest.mark.parametrize("kind", RUN_UNTIL_GO)
def test_a_pause_skips_slots_as_one_range_until_it_is_resumed(task: Make, kind: str) -> None:
    mail = task(RUN_UNTIL_GO[kind], every=0.3)
    (mail.folder / "go").touch()
    with mail.start() as child:
        child.wait_run()
        child.order("pause")
        child.wait_facts(lambda f: f.get("paused"))
        eventually(lambda: any(r.get("reason") == "paused" and r["slots"] >= 3 for r in mail.records))
        child.order("resume")
        child.wait_facts(lambda f: "paused" in f and not f["paused"])
        before = len(child.runs)
        child.wait_run(count=before + 1)
    assert len([r for r in mail.records if r.get("reason") == "paused"]) == 1


def test_a_pause_is_heard_while_a_coroutine_runs(task: Make) -> None:
    mail = task(RUN_UNTIL_GO["a coroutine"], every=0.3)
    with mail.start() as child:
        eventually(lambda: marked(mail.folder))
        child.order("pause")
        child.wait_facts(lambda f: f.get("paused"))
        assert child.runs == []
        (mail.folder / "go").touch()
        child.wait_run()


# -- retries and failures ---------------------------------------------------------------------------------------------


def test_a_failed_run_is_tried_again_in_the_same_slot(task: Make) -> None:
    mail = task(
        "def run(ctx):\n    if ctx.attempt < 3: raise OSError('again')\n    return ctx.attempt\n",
        run_on_start=True, retries=5, retry_base=0.01, **ALWAYS,
    )  # fmt: skip
    with mail.start() as child:
        run = child.wait_run()
        assert (run["state"], run["attempt"], json.loads(run["result"])) == ("ok", 3, 3)
        assert "retry 2 of 5" in child.log
    assert len(mail.records) == 1


def test_retries_end_and_the_last_error_stays(task: Make) -> None:
    mail = task("def run(): raise OSError('again')", run_on_start=True, retries=2, retry_base=0.01, **ALWAYS)
    with mail.start() as child:
        run = child.wait_run()
        assert (run["state"], run["attempt"]) == ("failed", 3)


def test_no_retry_reaches_into_the_next_slot(task: Make) -> None:
    mail = task("def run(): raise OSError('again')", every=0.3, retries=5, retry_base=10.0)
    with mail.start() as child:
        child.wait_run(count=3)
        assert {r["attempt"] for r in child.runs} == {1}


def test_the_wait_for_a_retry_ends_when_the_process_is_to_leave(task: Make) -> None:
    mail = task("def run(): raise OSError('again')", run_on_start=True, retries=1, retry_base=25.0, **ALWAYS)
    with mail.start() as child:
        child.wait_doing("retrying")
        assert mail.records[-1]["state"] == "failed"
        child.terminate()
        assert child.exit_code() == 0


def test_failures_in_a_row_pause_the_task_and_a_good_run_by_order_resumes_it(task: Make) -> None:
    code = MARK + "    def run():\n        if not marked('mended'): raise OSError('down')\n"
    mail = task(code, every=0.2, pause_after_failures=2)
    with mail.start() as child:
        assert "after 2 failures in a row" in child.wait_notice("task_paused").text
        child.wait_facts(lambda f: f.get("paused"))
        eventually(lambda: any(r.get("reason") == "paused" for r in mail.records))
        (mail.folder / "mended").touch()
        child.order("run", id="try")
        child.wait_run(id="try", state="ok")
        child.wait_facts(lambda f: "paused" in f and not f["paused"])
        child.wait_run(kind="schedule", state="ok")


# -- the clock --------------------------------------------------------------------------------------------------------

SET_THE_CLOCK = """
    import time
    real = time.time
    shift = 0.0
    time.time = lambda: real() + shift
    def run(ctx):
        global shift
        if ctx.kind == "manual":
            shift = {shift}
        return round(time.time() - ctx.slot, 3)
"""


def test_a_clock_set_forward_costs_slots_that_are_told(task: Make) -> None:
    mail = task(SET_THE_CLOCK.format(shift=100.0), every=0.5)
    with mail.start() as child:
        child.wait_run(kind="schedule")
        child.order("run", id="set")
        child.wait_run(id="set")
        before = len(child.runs)
        child.wait_run(count=before + 2)
        child.terminate()
        child.exit_code()
    slots = [
        s
        for r in mail.records
        if r["kind"] == "schedule"
        for s in Every(0.5).between(slot(r) - 0.001, slot({"slot": r.get("last", r["slot"])}))
    ]
    assert sorted(slots) == list(Every(0.5).between(min(slots) - 0.001, max(slots)))
    assert len(slots) > 200


def test_a_clock_set_back_runs_no_slot_twice_and_is_told(task: Make) -> None:
    mail = task(SET_THE_CLOCK.format(shift=-3.0), every=0.5)
    with mail.start() as child:
        child.wait_run(kind="schedule", count=6)
        ran = [r["slot"] for r in child.runs]
        child.order("run", id="set")
        child.wait_run(id="set")
        assert "set back by 3" in child.wait_notice("clock").text
        child.wait_facts(lambda f: "have run: the clock was set back" in str(f.get("waiting")))
        child.wait_run(kind="schedule", count=len(ran) + 3)
        slots = [r["slot"] for r in child.runs if r["kind"] == "schedule"]
        assert len(slots) == len(set(slots))
        child.wait_facts(lambda f: "waiting" in f and f["waiting"] is None)


def test_a_clock_that_was_years_ahead_does_not_silence_the_task(task: Make) -> None:
    """A machine that booted in 2036: what it called missed then is not missed, and the task runs now."""
    mail = task("def run(): ...", every=0.5)
    ahead = Every(0.5).next_after(time.time() + 10 * 365 * 86400) or 0.0
    mail.ran(ahead)
    with mail.ledger() as ledger:
        ledger.close(Range(ahead - 1000, ahead - 0.5, None, "missed", "clock"))
    with mail.start() as child:
        assert "set back" in child.wait_notice("clock").text
        run = child.wait_run(kind="schedule", state="ok")
        assert abs(slot(run) - time.time()) < 60
        facts = child.wait_facts(lambda f: f.get("next_slot"))
        assert facts["next_slot"] < ahead - 1000


def test_once_runs_once_and_then_rests(task: Make) -> None:
    at = datetime.fromtimestamp(int(time.time()) + 2).astimezone()
    mail = task("def run(): ...", once=at.isoformat())
    with mail.start() as child:
        assert slot(child.wait_run()) == at.timestamp()
        child.wait_doing("idle")
    with mail.start() as child:
        child.wait_doing("idle")
        assert child.runs == []


def test_jitter_delays_the_start_and_keeps_the_slot(task: Make) -> None:
    with task("def run(): ...", every=1.0, jitter=0.9).start() as child:
        runs = [child.wait_run(count=n + 1) for n in range(3)]
        assert all(slot(r) % 1 == 0 for r in runs)
        assert len({r["lateness"] for r in runs}) == 3


def test_a_ledger_that_cannot_be_read_is_told_and_the_task_runs(task: Make) -> None:
    mail = task("def run(): ...", every=0.3)
    Path(mail.path).write_bytes(b"no database at all" * 100)
    with mail.start() as child:
        assert "was moved to" in child.wait_notice("ledger").text
        child.wait_run()
