"""A task's process on its schedule: slots, what becomes of them, orders, and the way out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.schedule.slots import Every
from supervisor.core.wire.messages import Notice
from support.eventually import eventually
from support.tasks import Task

Make = Callable[..., Task]
ALWAYS = {"every": 86400.0 * 365, "catch_up": "none"}  # no slot while a test runs


@pytest.fixture
def task(tmp_path: Path) -> Make:
    return lambda code, **settings: Task(tmp_path, code, **settings)


def slot(record: Any) -> float:
    return datetime.fromisoformat(record["slot"]).timestamp()


def seen(folder: Path) -> list[str]:
    path = folder / "seen"
    return path.read_text().split() if path.exists() else []


SEE = """
    import pathlib, time
    def see(text):
        with open(pathlib.Path(__file__).parent / "seen", "a") as file:
            file.write(f"{text}\\n")
"""


def test_every_slot_of_the_grid_runs_once_with_no_drift(task: Make) -> None:
    """A run takes half of the interval: schedule's own clock would lose every third slot."""
    mail = task("import time\ndef run(): time.sleep(0.1)", every=0.2)
    with mail.start() as child:
        child.wait_run(count=15)
        child.terminate()
        assert child.exit_code() == 0
    slots = [slot(r) for r in mail.records if r["state"] == "ok"]
    told = [
        s for r in mail.records for s in Every(0.2).between(slot(r) - 0.001, slot({"slot": r.get("last", r["slot"])}))
    ]
    assert len(slots) >= 15
    assert told == list(Every(0.2).between(told[0] - 0.001, told[-1]))  # nothing between them is untold


def test_what_status_shows_of_a_task(task: Make) -> None:
    mail = task("def run(): return {'sent': 3}", every=0.3)
    with mail.start() as child:
        child.wait_ready()
        run = child.wait_run()
        assert (run["task"], run["kind"], run["state"], run["attempt"]) == ("mail", "schedule", "ok", 1)
        assert json.loads(run["result"]) == {"sent": 3}
        assert run["lateness"] >= 0
        facts = child.wait_facts(lambda f: f.get("last_run") and f.get("next_slot"))
        assert facts["schedule"] == "every 300ms"
        assert facts["last_run"]["state"] == "ok"
        assert facts["next_slot"] == Every(0.3).next_after(facts["next_slot"] - 0.001)
        assert "run ok in" in child.log


def test_a_failing_run_is_told_with_its_line_and_the_next_slot_runs(task: Make) -> None:
    mail = task("def run(ctx):\n    raise ConnectionError('refused')\n", every=0.2)
    with mail.start() as child:
        run = child.wait_run(count=3)
        assert run["state"] == "failed"
        assert run["error"] == "ConnectionError: refused (mine.py:2)"
        assert "run failed: ConnectionError: refused (mine.py:2)" in child.log
        assert "Traceback" in child.log
        assert "attempt.py" not in child.log  # not our own frames
        assert child.wait_facts(lambda f: f.get("last_error"))["last_error"].startswith("ConnectionError")


@pytest.mark.parametrize(
    "raised",
    [
        "SystemExit(0)",
        "SystemExit('text')",
        "KeyboardInterrupt()",
        "GeneratorExit()",
        "MemoryError()",
        "StopIteration()",
    ],
)
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_whatever_a_task_raises_is_a_failed_run_and_not_the_end_of_the_process(
    task: Make, raised: str, kind: str
) -> None:
    mail = task(f"{kind} run():\n    raise {raised}\n", every=0.2)
    with mail.start() as child:
        run = child.wait_run(count=2)
        assert run["state"] == "failed"
        assert run["error"].startswith(raised.partition("(")[0]) or raised == "StopIteration()"


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_recursion_without_end_is_a_failed_run(task: Make, kind: str) -> None:
    mail = task(f"def deeper(): deeper()\n{kind} run(): deeper()\n", every=0.2)
    with mail.start() as child:
        assert child.wait_run(count=2)["error"].startswith("RecursionError")


def test_a_coroutine_that_nobody_awaits_is_a_failed_run(task: Make) -> None:
    mail = task("async def inner(): ...\nrun = lambda: inner()\n", every=0.2)
    with mail.start() as child:
        assert "async def" in child.wait_run()["error"]


def test_all_runs_of_a_coroutine_share_one_loop(task: Make) -> None:
    mail = task("import asyncio\nasync def run(): return id(asyncio.get_running_loop())", every=0.2)
    with mail.start() as child:
        child.wait_run(count=3)
        assert len({run["result"] for run in child.runs}) == 1


def test_a_sync_task_never_pays_for_asyncio() -> None:
    code = (
        "import sys, supervisor.child.schedule.runner; print([m for m in ('asyncio', 'pydantic') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_a_resource_is_fresh_for_each_run_and_closed(task: Make) -> None:
    mail = task(
        SEE
        + """
    def db():
        see("open")
        try:
            yield 7
        finally:
            see("close")
    def run(db):
        see(db)
    """,
        every=0.2,
        resources={"db": "mine:db"},
    )
    with mail.start() as child:
        child.wait_run(count=2)
    assert seen(mail.folder)[:6] == ["open", "7", "close"] * 2


def test_a_resource_that_is_away_fails_the_run_and_says_which(task: Make) -> None:
    mail = task(
        "def db(): raise ConnectionError('refused')\nasync def run(db): ...\n", every=0.2, resources={"db": "mine:db"}
    )
    with mail.start() as child:
        assert 'resource "db" did not open: ConnectionError: refused' in child.wait_run()["error"]


def test_arguments_come_from_the_configuration(task: Make) -> None:
    mail = task("def run(limit, ctx): return [limit, ctx.kind]", every=0.2, args={"limit": 5})
    with mail.start() as child:
        assert json.loads(child.wait_run()["result"]) == [5, "schedule"]


@pytest.mark.parametrize(
    ("code", "settings", "code_expected", "said"),
    [
        ("", {"run": "nowhere:run"}, 78, 'no module "nowhere"'),
        ("", {}, 78, 'has no "run"'),
        ("def run(bd): ...", {}, 78, 'parameter "bd"'),
        ("def run(): ...", {"args": {"limit": 1}}, 78, 'no parameter "limit"'),
        ("def run(:", {}, 78, "mine.py:1"),
        ("raise ConnectionError('refused')", {}, 1, "refused"),
        ("def run(): yield", {}, 78, "yield"),
    ],
)
def test_what_cannot_be_loaded_ends_the_process_before_it_is_ready(
    task: Make, code: str, settings: dict[str, Any], code_expected: int, said: str
) -> None:
    with task(code, every=1.0, **settings).start() as child:
        assert child.exit_code() == code_expected
        assert child.bye is not None
        assert said in child.bye.reason


def test_the_context_knows_slot_attempt_and_the_run_before(task: Make) -> None:
    mail = task(
        """
        def run(ctx):
            ctx.log.info("hello from %s", ctx.name)
            return [ctx.slot, ctx.scheduled_for.isoformat(), ctx.attempt, (ctx.previous or {}).get("slot")]
        """,
        every=0.3,
    )
    with mail.start() as child:
        first, second = child.wait_run(), child.wait_run(count=2)
        at, scheduled_for, attempt, previous = json.loads(second["result"])
        assert at == slot(second)
        assert datetime.fromisoformat(scheduled_for).timestamp() == at
        assert (attempt, previous) == (1, first["slot"])
        assert "hello from mail" in child.log


def test_progress_is_shown_and_does_not_buy_time(task: Make) -> None:
    mail = task(
        """
        import time
        def run(ctx):
            for n in range(1000):
                ctx.progress(n / 1000, f"page {n}")
                time.sleep(0.01)
        """,
        every=0.2,
        timeout=100.0,
        kill_after=10.0,
    )
    with mail.start() as child:
        facts = child.wait_facts(lambda f: f.get("progress", 0) > 0.01)
        assert facts["progress_text"].startswith("page ")
        doing = child.wait_doing("running")
        assert doing.budget is not None
        assert doing.budget < 115


def test_an_extra_run_at_the_start_has_its_own_kind(task: Make) -> None:
    with task("def run(ctx): return ctx.kind", run_on_start=True, **ALWAYS).start() as child:
        assert child.wait_run()["kind"] == "start"


# -- overlap ----------------------------------------------------------------------------------------------------------


def test_slots_that_fall_into_a_run_are_one_skipped_range(task: Make) -> None:
    mail = task("import time\ndef run(): time.sleep(0.75)", every=0.2)
    with mail.start() as child:
        child.wait_run(count=2)
        child.terminate()
        child.exit_code()
    first, skipped, second = sorted(mail.records, key=slot)[:3]
    assert (skipped["state"], skipped["reason"]) == ("skipped", "overlap")
    assert skipped["slots"] >= 3
    assert slot(skipped) == pytest.approx(slot(first) + 0.2)
    assert slot(second) == pytest.approx(slot({"slot": skipped["last"]}) + 0.2)


def test_or_the_last_one_is_queued_and_runs_at_once(task: Make) -> None:
    mail = task("import time\ndef run(): time.sleep(0.75)", every=0.2, overlap="queue_one")
    with mail.start() as child:
        second = child.wait_run(count=2)
        assert second["lateness"] > 0
        child.terminate()
        child.exit_code()
    first, skipped, queued = sorted(mail.records, key=slot)[:3]
    assert skipped["reason"] == "overlap"
    assert slot(queued) == pytest.approx(slot({"slot": skipped["last"]}) + 0.2)
    ended = datetime.fromisoformat(first["finished"]).timestamp()
    assert slot(queued) < ended  # it fell due during the run, and ran after it


# -- catching up ------------------------------------------------------------------------------------------------------


def past(every: float, back: int) -> float:
    """The slot `back` slots ago."""
    last = Every(every).last_between(0, time.time())
    assert last is not None
    return last - back * every


def test_after_down_time_the_latest_slot_runs_and_the_rest_is_missed(task: Make) -> None:
    mail = task("def run(): ...", every=900.0, catch_up_window=86400.0)
    start = past(900, 6)
    mail.ran(start)
    with mail.start() as child:
        run = child.wait_run(state="ok")
        assert slot(run) == start + 6 * 900
        assert run["lateness"] > 0
    _, missed, _ = sorted(mail.records, key=slot)
    assert (missed["state"], missed["reason"], missed["slots"]) == ("missed", "down", 5)


def test_all_of_them_run_in_order_up_to_the_limit(task: Make) -> None:
    mail = task("def run(): ...", every=900.0, catch_up="all", catch_up_window=86400.0, catch_up_limit=3)
    start = past(900, 6)
    mail.ran(start)
    with mail.start() as child:
        child.wait_run(count=3, state="ok")
        assert [slot(r) for r in child.runs] == [start + n * 900 for n in (4, 5, 6)]


def test_nothing_is_caught_up_when_so_configured(task: Make) -> None:
    mail = task("def run(): ...", every=86400.0 * 300, catch_up="none", history_keep=1e9)
    start = past(86400 * 300, 3)
    mail.ran(start)
    with mail.start() as child:
        child.wait_ready()
        child.wait_doing("idle")
        assert child.runs == []
    found = sorted(mail.records, key=slot)
    assert [(r["state"], r.get("slots")) for r in found] == [("ok", None), ("missed", 3)]


def test_a_killed_process_does_not_lose_what_it_had_to_catch_up(task: Make) -> None:
    mail = task(
        SEE
        + """
    def run(ctx):
        see(ctx.slot)
        time.sleep(0 if ctx.previous and ctx.previous["state"] == "lost" else 60)
    """,
        every=900.0,
        catch_up="all",
        catch_up_window=86400.0,
    )
    start = past(900, 4)
    mail.ran(start)
    with mail.start() as child:
        eventually(lambda: len(seen(mail.folder)) == 1)
        child.kill()
        child.exit_code()
    with mail.start() as child:
        child.wait_run(state="lost")
        child.wait_run(state="ok")
    assert [float(s) for s in seen(mail.folder)][:2] == [start + 900, start + 1800]


def test_what_fell_into_a_time_of_being_disabled_is_skipped_and_said(task: Make) -> None:
    mail = task("def run(): ...", every=900.0, catch_up="all", catch_up_window=86400.0)
    start = past(900, 5)
    mail.ran(start)
    lines = [
        {"time": start + 950, "what": "disabled", "name": "mail"},
        {"time": start + 960, "what": "disabled", "name": "other"},
        {"time": start + 2750, "what": "enabled", "name": "mail"},
    ]
    (mail.folder / ".supervisor" / "journal").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with mail.start() as child:
        child.wait_run(count=3, state="ok")
    found = sorted(mail.records, key=slot)
    assert [(r["state"], r.get("reason"), r.get("slots")) for r in found] == [
        ("ok", None, None),
        ("ok", None, None),
        ("skipped", "disabled", 2),
        ("ok", None, None),
        ("ok", None, None),
    ]


def test_slots_of_another_schedule_are_not_owed(task: Make, tmp_path: Path) -> None:
    task("def run(): ...", every=900.0).ran(past(900, 6))
    mail = task("def run(): ...", every=1200.0, catch_up="all")
    with mail.start() as child:
        child.wait_ready()
        child.wait_doing("idle")
        assert child.runs == []
    assert len(mail.records) == 1


def test_a_restart_every_moment_still_runs_every_slot(task: Make) -> None:
    """A task of every five seconds under a deploy every second: resets of a timer would starve it."""
    mail = task("def run(): ...", every=1.0)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        with mail.start() as child:
            child.wait_ready()
            child.wait_doing("idle")
            child.terminate()
            assert child.exit_code() == 0
    found = [r for r in mail.records if r["state"] == "ok"]
    assert len(found) >= 3
    slots = [s for r in mail.records for s in Every(1).between(slot(r) - 0.5, slot({"slot": r.get("last", r["slot"])}))]
    assert slots == list(range(int(slots[0]), int(slots[-1]) + 1))


def test_status_notes_that_records_are_not_kept_until_they_are_again(task: Make) -> None:
    """A folder in the place where a new file is made keeps root out too."""
    mail = task("def run(): ...", every=0.2)
    os.mkdir(mail.path + ".new")
    with mail.start() as child:
        facts = child.wait_facts(lambda f: f.get("note") and f.get("last_run"))
        assert "runs go on, their history is not kept" in facts["note"]
        os.rmdir(mail.path + ".new")
        child.wait_facts(lambda f: "note" in f and not f["note"])
        child.terminate()
        assert child.exit_code() == 0
        ran = [run["slot"] for run in child.runs if run["state"] == "ok"]
    assert [record["slot"] for record in mail.records if record["state"] == "ok"] == ran


def test_a_deleted_ledger_is_made_anew_while_the_task_runs(task: Make) -> None:
    mail = task("def run(): ...", every=0.2)
    with mail.start() as child:
        child.wait_run(state="ok")
        for end in ("", "-wal", "-shm"):
            os.unlink(mail.path + end)
        assert "begins anew" in child.wait_notice("ledger").text
        child.wait_run(count=len(child.runs) + 2, state="ok")
        assert "ok" in {record["state"] for record in mail.records}
        assert len([m for m in child.read() if isinstance(m, Notice)]) == 1
