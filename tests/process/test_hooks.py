"""The user's own functions that are told of runs; whatever they do, runs and records are what they would be without."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.child.birth import LastExit
from supervisor.child.schedule import hooks
from supervisor.core.schedule.slots import Every
from support.eventually import eventually
from support.tasks import Task

Make = Callable[..., Task]
ALWAYS = {"every": 86400.0 * 365, "catch_up": "none", "history_keep": 1e10}  # no slot while a test runs
TOLD = """
    import json, pathlib
    def told(name, record):
        with open(pathlib.Path(__file__).parent / "told", "a") as file:
            file.write(json.dumps([name, record]) + "\\n")
    def began(record): told("began", record)
    def ended(record): told("ended", record)
    def missed(record): told("missed", record)
"""
ALL = {"on_start": "mine:began", "on_finish": "mine:ended", "on_missed": "mine:missed"}


@pytest.fixture
def task(tmp_path: Path) -> Make:
    return lambda code, **settings: Task(tmp_path, code, **settings)


def told(mail: Task) -> list[tuple[str, dict[str, Any]]]:
    path = mail.folder / "told"
    return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def test_begin_and_end_are_told_with_the_record_of_the_history(task: Make) -> None:
    mail = task(
        TOLD + "    def run(ctx):\n        if ctx.attempt < 2: raise ValueError('no')", retries=1, **ALL, **ALWAYS
    )
    with mail.start() as child:
        child.wait_ready()
        child.order("run", id="1")
        eventually(lambda: len(told(mail)) == 2, within=60)
        child.terminate()
        child.exit_code()
    (first, began), (second, ended) = told(mail)
    assert (first, began["state"], began["attempt"], began["task"]) == ("began", "running", 1, "mail")
    assert second == "ended"
    assert ended == mail.records[-1]
    assert (ended["state"], ended["attempt"]) == ("ok", 2)


def test_what_was_missed_is_told_as_one_range_and_what_was_killed_by_the_next_process(task: Make) -> None:
    mail = task(TOLD + "    def run(): ...", every=10.0, catch_up="none", **ALL)
    now = Every(10.0).last_between(0, time.time())
    assert now is not None
    with mail.ledger() as ledger:
        ledger.begin(now - 60, "schedule", attempt=1, lateness=0.0)
    with mail.start(LastExit(cause="oom", reason="out of memory", at=now - 55)) as child:
        child.wait_ready()
        eventually(lambda: any(name == "missed" for name, _ in told(mail)), within=60)
    by_name = dict(reversed(told(mail)))
    assert (by_name["ended"]["state"], by_name["ended"]["error"]) == ("killed", "out of memory")
    assert by_name["missed"]["reason"] == "down"
    assert by_name["missed"]["slots"] >= 4


HARM = {
    "raises": "raise ValueError('no')",
    "leaves": "raise SystemExit(3)",
    "waits for ever": "time.sleep(3600)",
    "changes what it got": "record.clear()",
}


@pytest.mark.parametrize("how", HARM)
def test_a_hook_that_fails_fails_no_run(task: Make, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "WITHIN", 0.2)
    code = f"import time\ndef harm(record): {HARM[how]}\ndef run(): return 7\n"
    mail = task(code, every=0.5, on_start="mine:harm", on_finish="mine:harm", on_missed="mine:harm")
    with mail.start() as child:
        child.wait_run(count=2)
        assert {(run["state"], run["result"]) for run in child.runs} == {("ok", "7")}
        child.terminate()
        assert child.exit_code() == 0
        assert ("on_start failed" in child.log) == (how != "changes what it got")
    assert {(r["state"], r["result"]) for r in mail.records if "started" in r} == {("ok", "7")}


@pytest.mark.parametrize(
    ("target", "said"), [("mine:nothing", "nothing"), ("other:x", "other"), ("mine:later", "async def")]
)
def test_a_hook_that_cannot_be_called_is_told_and_left_out(task: Make, target: str, said: str) -> None:
    with task("async def later(record): ...\ndef run(): ...", every=0.3, on_start=target).start() as child:
        assert child.wait_run(count=2)["state"] == "ok"
        assert said in child.log
