"""What a run's record says besides its end: CPU, peak memory, and where the code was when its time was over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.child.birth import LastExit
from supervisor.child.schedule import evidence
from support.tasks import Task

Make = Callable[..., Task]
MIB = 1024 * 1024


@pytest.fixture
def task(tmp_path: Path) -> Make:
    return lambda code, **settings: Task(tmp_path, code, **settings)


def test_a_run_that_reckons_has_its_cpu_and_one_that_sleeps_has_none(task: Make) -> None:
    code = """
        import time
        def run(ctx):
            until = time.process_time() + 0.3
            while ctx.kind == "manual" and time.process_time() < until: pass
    """
    mail = task(code, every=0.5)
    with mail.start() as child:
        child.wait_run(kind="schedule")
        child.order("run", id="busy")
        busy = child.wait_run(id="busy")
        assert busy["cpu"] >= 0.3
        idle = min(r["cpu"] for r in child.runs if r["kind"] == "schedule")
        assert 0 <= idle < 0.3


def test_the_peak_of_memory_is_of_the_run_and_not_of_the_process(task: Make) -> None:
    """The first run takes 64 MiB and gives them back, the later ones take nothing."""
    code = """
        import mmap
        first = True
        def run():
            global first
            if first:
                first = False
                with mmap.mmap(-1, 64 * 1024 * 1024) as room:
                    room.write(b"x" * len(room))
    """
    with task(code, every=0.3).start() as child:
        big, small = child.wait_run()["rss"], child.wait_run(count=3)["rss"]
        assert big > small + 50 * MIB


def test_a_run_beyond_its_time_has_the_line_it_stood_on(task: Make) -> None:
    code = "import time\ndef run(): deep()\ndef deep(): time.sleep(60)\n"
    mail = task(code, every=0.5, timeout=0.2)
    with mail.start() as child:
        assert "stacks" not in child.wait_run(state="timed_out")  # a message is small: they are in the ledger
    ran = next(r for r in mail.records if r["state"] == "timed_out")
    assert 'mine.py", line 3, in deep' in ran["stacks"]
    assert "/child/schedule/" not in ran["stacks"].splitlines()[0]


def test_what_the_supervisor_saw_of_a_killed_process_goes_into_the_record(task: Make) -> None:
    mail = task("import time\ndef run(): time.sleep(60)", every=0.3, timeout=None)
    with mail.start() as child:
        child.wait_doing("running")
        child.kill()
        child.exit_code()
    started = max(r["started"] for r in mail.records)
    died = LastExit(cause="timed_out", reason="running for 6s, allowed 5.3s", at=4_000_000_000.0)
    report = {"stacks": 'File "mine.py", line 2 in run', "curve": [{"rss": 5}, {"rss": 7}, {"rss": 6}, {"age": 1}]}
    (mail.folder / ".supervisor" / "crashes" / f"mail-{died.at:.3f}.json").write_text(json.dumps(report))
    with mail.start(died) as child:
        child.wait_run(state="timed_out")
    (ran,) = [r for r in mail.records if r["state"] == "timed_out"]
    assert (ran["stacks"], ran["rss"]) == (report["stacks"], 7)
    assert (ran["started"], ran["finished"]) == (started, "2096-10-02T07:06:40.000Z")
    assert ran["duration"] > 1e9


@pytest.mark.parametrize("text", ["", "[]", "7", "null", '{"curve": 7}', '{"curve": [7], "stacks": 8}', "[" * 100_000])
def test_a_report_that_is_no_report_tells_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "mail-5.000.json").write_text(text)
    told = evidence.left(str(tmp_path), "mail", LastExit(cause="timed_out", reason="", at=5.0))
    assert not any(told.values())
