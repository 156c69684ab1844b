"""Slots that were missed are run after all: each turns into its result, whatever ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.schedule.missed import Range
from supervisor.core.schedule.slots import Every
from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.tasks import Task

HOUR = 3600.0
CODE = NOTE + "def tick(ctx):\n    note('ran', f'{ctx.kind} {ctx.slot:.0f}')\n"
CONFIG = FAST + '[tasks.tick]\nrun = "mine:tick"\nevery = "1h"\ncatch_up = "none"\n'


def slots_of(records: list[dict[str, Any]]) -> Counter[float]:
    """How many records each slot has, kinds by hand left out."""
    found: Counter[float] = Counter()
    for record in records:
        if record["kind"] in ("schedule", "backfill"):
            last = record.get("last", record["slot"])
            found.update(Every(HOUR).between(epoch(record["slot"]) - 1, epoch(last)))
    return found


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def stamp(t: float) -> str:
    return datetime.fromtimestamp(t, UTC).isoformat()


@pytest.fixture
def owed(tmp_path: Path) -> Callable[..., Task]:
    """A task that was down: its last five slots are one record."""

    def make(code: str, **settings: Any) -> Task:
        mail = Task(tmp_path, code, every=HOUR, catch_up="none", **settings)
        now = Every(HOUR).last_between(0, time.time()) or 0.0
        with mail.ledger() as ledger:
            ledger.close(Range(now - 4 * HOUR, now, 5, "missed", "down"))
        return mail

    return make


def first_of(mail: Task) -> float:
    return epoch(mail.records[0]["slot"])


def test_a_missed_slot_becomes_its_result_and_the_others_stay_missed(owed: Callable[..., Task]) -> None:
    mail = owed("def run(ctx): return ctx.kind")
    slot = first_of(mail) + 2 * HOUR
    with mail.start() as child:
        child.wait_ready()
        child.order("run", id="one", slot=slot, kind="backfill")
        assert child.wait_run(id="one")["state"] == "ok"
    before, ran, after = mail.records[0], *[r for r in mail.records if r["kind"] == "backfill"], mail.records[-2]
    assert (before["slots"], ran["result"], after["state"]) == (2, '"backfill"', "missed")
    assert set(slots_of(mail.records).values()) == {1}
    assert sum(slots_of(mail.records).values()) == 5


def test_the_last_slot_too_and_it_never_starts_again(owed: Callable[..., Task]) -> None:
    mail = owed("def run(ctx): return ctx.kind")
    last = first_of(mail) + 4 * HOUR
    with mail.start() as child:
        child.wait_ready()
        child.order("run", id="one", slot=last, kind="backfill")
        child.wait_run(id="one", state="ok")
    with mail.start() as child:
        child.wait_ready()
        child.order("run", id="end")
        child.wait_run(id="end")
    assert slots_of(mail.records)[last] == 1
    with mail.ledger() as ledger:
        assert ledger.has(last)
        assert (ledger.settled() or 0) >= last


@pytest.mark.parametrize(
    ("off", "why"), [(1.5 * HOUR, "the schedule has no such slot"), (-9 * HOUR, "this slot was not missed")]
)
def test_what_was_not_missed_does_not_run(owed: Callable[..., Task], off: float, why: str) -> None:
    mail = owed("def run(): ...")
    with mail.start() as child:
        child.wait_ready()
        child.order("run", id="x", slot=first_of(mail) + off, kind="backfill")
        told = child.wait_run(id="x")
    assert (told["state"], told["reason"]) == ("skipped", why)
    assert not [r for r in mail.records if r["kind"] == "backfill"]


def test_twice_is_once(owed: Callable[..., Task]) -> None:
    mail = owed("def run(): ...")
    slot = first_of(mail)
    with mail.start() as child:
        child.wait_ready()
        for name in ("a", "b"):
            child.order("run", id=name, slot=slot, kind="backfill")
        assert child.wait_run(id="a")["state"] == "ok"
        assert child.wait_run(id="b")["reason"] == "this slot was not missed"


def test_kill_9_in_a_backfill_leaves_one_record(owed: Callable[..., Task]) -> None:
    mail = owed("import time\ndef run(): time.sleep(600)", timeout=None)
    with mail.start() as child:
        child.wait_ready()
        child.order("run", slot=first_of(mail), kind="backfill")
        child.wait_doing("running")
        child.kill()
        child.exit_code()
    with mail.start() as child:
        child.wait_run(kind="backfill", state="lost")
    assert set(slots_of(mail.records).values()) == {1}


def test_failures_long_past_do_not_pause_the_task(owed: Callable[..., Task]) -> None:
    mail = owed("def run(): raise ValueError", pause_after_failures=1)
    with mail.start() as child:
        child.wait_ready()
        child.order("run", id="x", slot=first_of(mail), kind="backfill")
        child.wait_run(id="x", state="failed")
        child.order("run", id="y", slot=first_of(mail), kind="manual")
        child.wait_run(id="y")
        child.wait_facts(lambda f: f.get("paused"))
        paused = [m for m in child.log.splitlines() if "paused after" in m]
    assert len(paused) == 1


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def down(project: Callable[..., Project]) -> Project:
    """A project whose task missed its last six slots."""
    made = project(CONFIG, CODE)
    mail = Task(made.folder / "aside", "", every=HOUR) if (made.folder / "aside").mkdir() is None else None
    assert mail is not None
    now = Every(HOUR).last_between(0, time.time()) or 0.0
    (made.state / "history").mkdir(parents=True, mode=0o700)
    made.state.chmod(0o700)
    mail.path = str(made.state / "history" / "tick.db")
    with mail.ledger() as ledger:
        ledger.close(Range(now - 5 * HOUR, now, 6, "missed", "down"))
    return made


def history(made: Project) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(made.run("history", "tick", "--json").stdout)
    return found


def test_all_of_a_time_run_in_order_and_the_history_says_so(down: Project) -> None:
    with down.supervisor() as supervisor:
        supervisor.wait_ready()
        first = epoch(history(down)[0]["slot"])
        span = ("--from", stamp(first + HOUR), "--to", stamp(first + 3 * HOUR))
        listed = supervisor.cli("backfill", "tick", *span, "--dry-run")
        assert (listed.returncode, len(listed.stdout.splitlines())) == (0, 3)
        assert down.lines("ran") == []
        done = supervisor.cli("backfill", "tick", *span)
        assert done.returncode == 0, done.stderr
        assert [text.split()[0] for text in done.stdout.splitlines()] == ["1/3", "2/3", "3/3"]
        assert down.lines("ran") == [f"backfill {first + n * HOUR:.0f}" for n in (1, 2, 3)]
        assert set(slots_of(history(down)).values()) == {1}
        again = supervisor.cli("backfill", "tick", *span)
        assert (again.returncode, again.stdout) == (0, "")
        assert "no slot was missed" in again.stderr
        few = supervisor.cli("backfill", "tick", "--from", stamp(first), "--limit", "2")
        assert (few.returncode, len(down.lines("ran"))) == (2, 3)
        assert "more than 2 slots" in few.stderr


def test_a_failed_run_is_shown_and_the_others_still_run(down: Project) -> None:
    down.write("mine.py", CODE + "    if len(open(HERE + '/ran').readlines()) == 2: raise ValueError('no')\n")
    with down.supervisor() as supervisor:
        supervisor.wait_ready()
        done = supervisor.cli("backfill", "tick", "--from", stamp(0), "--json")
        assert done.returncode == 1
        assert [run["state"] for run in json.loads(done.stdout)] == ["ok", "failed", *["ok"] * 4]


def test_ctrl_c_ends_it_between_two_runs(down: Project) -> None:
    down.write("mine.py", CODE + "    while not os.path.exists(HERE + '/go'): time.sleep(0.01)\n")
    with down.supervisor() as supervisor:
        supervisor.wait_ready()
        command = [sys.executable, "-m", "supervisor", "backfill", "tick", "--from", stamp(0)]
        with subprocess.Popen(command, cwd=down.folder, stderr=subprocess.PIPE, text=True) as running:
            eventually(lambda: len(down.lines("ran")) == 1, within=30)
            os.kill(running.pid, signal.SIGINT)
            said = running.communicate(timeout=30)[1]
        assert running.returncode == 130
        assert "0 of 6 are done" in said
        (down.folder / "go").touch()
        eventually(lambda: [r for r in history(down) if r["kind"] == "backfill" and r["state"] == "ok"], within=30)
        assert len(down.lines("ran")) == 1
        assert sum(r.get("slots", 1) for r in history(down) if r["state"] == "missed") == 5


def test_slots_that_nobody_has_recorded_yet_are_no_slots_that_were_not_missed(project: Callable[..., Project]) -> None:
    made = project(CONFIG.replace('every = "1h"', 'every = "300ms"'), CODE)
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        eventually(lambda: history(made), within=30)
        supervisor.stop()
    until = time.time()
    eventually(lambda: any(epoch(run.get("last", run["slot"])) > until for run in history(made)), within=30, every=0.1)
    done = made.run("backfill", "tick", "--from", stamp(until), "--dry-run")
    assert (done.returncode, done.stdout) == (0, "")
    assert "have no record yet, for no process of it has run since" in done.stderr
    assert "supervisor explain tick" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nobody", "--from", "0"), 4, "nobody"),
        (("tick", "--from", "20", "--to", "10"), 2, "--to is before --from"),
        (("tick",), 2, "--from"),
        (("tick", "--from", "0"), 3, "not running"),
    ],
)
def test_what_cannot_be_done_is_said(down: Project, arguments: tuple[str, ...], code: int, said: str) -> None:
    with down.supervisor() as supervisor:  # it writes the schedule
        supervisor.wait_ready()
        supervisor.stop()
    done = down.run("backfill", *arguments)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
