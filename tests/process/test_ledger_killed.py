"""kill -9 in front of each SQLite statement of a runner's life: what is left is true, and can be gone on from."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from supervisor.child.schedule import backfill
from supervisor.child.schedule.ledger import Ledger
from supervisor.child.schedule.ledger_file import Row, connect, rows
from supervisor.core.schedule.missed import Range
from supervisor.core.schedule.slots import Every

NOW = 1_795_590_000.0
STEP = 10.0  # seconds between two slots
MOST = 200  # statements that one life may have: it ends with fewer


def life(path: str, said: int, die_before: int) -> None:
    """Write all that a runner writes. What it has done is told on `said`, each time before and after."""
    seen = 0

    def statement(sql: str) -> None:
        nonlocal seen
        seen += 1
        if seen == die_before:
            os.kill(os.getpid(), signal.SIGKILL)

    clock = NOW
    ledger = Ledger(path, lambda code, text: None, now=lambda: clock)
    ledger._db.set_trace_callback(statement)
    ledger.set_meta("since", NOW)
    ledger.close_open(None)
    ledger.close(Range(NOW + STEP, NOW + 3 * STEP, 3, "missed", "down"), NOW)
    ledger.close(Range(NOW + 4 * STEP, NOW + 4 * STEP, 1, "missed", "down"), NOW + 3 * STEP)
    assert backfill.claim(ledger, Every(STEP), NOW + 2 * STEP, None) is None
    again = ledger.begin(NOW + 2 * STEP, backfill.KIND, attempt=1, lateness=0.0)
    ledger.finish(again, "ok", duration=0.1)
    os.write(said, b"backfilled\n")
    for number in range(5, 9):
        clock = slot = NOW + number * STEP
        for attempt in (1, 2) if number == 6 else (1,):
            row = ledger.begin(slot, "schedule", attempt=attempt, lateness=0.0)
            os.write(said, f"started {number} {attempt}\n".encode())
            if number == 7:
                ledger.interrupt()
            os.write(said, f"ended {number} {attempt}\n".encode())
            ledger.finish(row, "failed" if (number, attempt) == (6, 1) else "ok", duration=0.1, cpu=0.1, rss=4096)
            os.write(said, f"finished {number} {attempt}\n".encode())
    ledger.skip(NOW + 9 * STEP, "schedule", "stopping")
    ledger.prune(keep=4.5 * STEP, most=100)
    ledger.shut()
    os.write(said, b"end\n")


def lived(path: str, die_before: int) -> list[str]:
    """Live it in a process that is killed in front of that statement; return what it had done."""
    out, said = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            life(path, said, die_before)
        finally:
            os._exit(0)
    os.close(said)
    os.waitpid(pid, 0)
    with open(out, "rb") as file:
        return file.read().decode().splitlines()


def all_rows(path: str) -> list[Row]:
    with closing(connect(path)) as db:
        return rows(db, "SELECT * FROM run")


def covered(row: Row) -> list[int]:
    last = row["last"] or row["slot"]
    return list(range(round((row["slot"] - NOW) / STEP), round((last - NOW) / STEP) + 1))


def test_whatever_it_is_killed_between_the_ledger_is_true(tmp_path: Path) -> None:
    died = 0
    for number in range(1, MOST):
        path = str(tmp_path / f"{number}.db")
        done = lived(path, number)
        judge(path, done)
        if "end" in done:
            break
        died += 1
    assert died > 15, "it was killed at each statement of its life"
    assert died < MOST - 1


def judge(path: str, done: list[str]) -> None:
    ledger = Ledger(path, lambda code, text: pytest.fail(text), now=lambda: NOW + 10 * STEP)
    settled = ledger.settled()
    open_rows = {round((row["slot"] - NOW) / STEP) for row in ledger.close_open(None)}
    found = all_rows(path)
    slots = [number for row in found for number in covered(row)]
    assert len(slots) == len(set(slots)), f"two records of one slot: {slots}"
    states = {number: row["state"] for row in found for number in covered(row)}
    upto = round(((settled or NOW) - NOW) / STEP)
    kept = [number for number in range(1, upto + 1) if number in states]
    assert kept == list(range(min(kept, default=1), upto + 1)), "only the oldest may be gone, by retention"
    assert all(number in states for number in open_rows)
    if "backfilled" in done and 2 in states:
        assert states[2] == "ok"
    for line in done:
        what, number, attempt = (*line.split(), "0", "0")[:3]
        if what == "started" and int(number) in range(6, 9):
            assert ledger.has(NOW + int(number) * STEP), f"slot {number} started and would start again"
        if what == "finished" and (number, attempt) != ("6", "1") and int(number) > 5:
            assert states[int(number)] == "ok"
    assert not {"running"} & set(states.values())
    ledger.shut()


def test_a_file_of_the_first_release_gets_the_new_columns_or_stays_as_it_was(tmp_path: Path) -> None:
    for number in range(1, 20):
        path = str(tmp_path / f"old{number}.db")
        first_release(path)
        if (pid := os.fork()) == 0:
            reopened(path, number)
        _, status = os.waitpid(pid, 0)
        ledger = Ledger(path, lambda code, text: pytest.fail(text))
        (row,) = all_rows(path)
        assert (row["slot"], row["state"], row["cpu"]) == (NOW, "ok", None)
        ledger.shut()
        if os.WIFEXITED(status):
            break
    assert number > 8


def test_a_new_file_is_whole_or_not_there(tmp_path: Path) -> None:
    for number in range(1, 50):
        path = str(tmp_path / f"new{number}.db")
        if (pid := os.fork()) == 0:
            reopened(path, number)
        _, status = os.waitpid(pid, 0)
        if os.path.exists(path):
            db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            assert rows(db, "SELECT * FROM run") == []  # `history` may look at any moment
            db.close()
        ledger = Ledger(path, lambda code, text: pytest.fail(text), now=lambda: NOW)
        ledger.begin(NOW, "schedule", attempt=1, lateness=0.0)
        ledger.shut()
        assert sorted(os.listdir(tmp_path)) == [f"new{number}.db"]
        os.unlink(path)
        if os.WIFEXITED(status):
            break
    assert 15 < number < 49


def test_what_a_deleted_file_left_beside_it_is_not_played_into_the_new_one(tmp_path: Path) -> None:
    path = str(tmp_path / "mail.db")
    old = Ledger(path, lambda code, text: pytest.fail(text), now=lambda: NOW)
    old.begin(NOW, "schedule", attempt=1, lateness=0.0)
    assert os.path.getsize(f"{path}-wal") > 0
    os.unlink(path)
    new = Ledger(path, lambda code, text: pytest.fail(text), now=lambda: NOW)
    assert new.last() is None
    new.begin(NOW + STEP, "schedule", attempt=1, lateness=0.0)
    new.shut()
    assert [row["slot"] for row in all_rows(path)] == [NOW + STEP]
    old.shut()


def first_release(path: str) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID")
    db.execute(
        "CREATE TABLE run (slot REAL NOT NULL, kind TEXT NOT NULL, last REAL, slots INTEGER, state TEXT NOT NULL,"
        " reason TEXT, attempt INTEGER, started REAL, finished REAL, duration REAL, lateness REAL, error TEXT,"
        " result TEXT, id TEXT, PRIMARY KEY (slot, kind)) WITHOUT ROWID"
    )
    db.execute("INSERT INTO run (slot, kind, state, finished) VALUES (?, 'schedule', 'ok', ?)", (NOW, NOW))
    db.execute("PRAGMA user_version = 1")
    db.close()


def reopened(path: str, die_before: int) -> None:
    """Open it as a runner does, and die in front of that statement, or step in the file system. Never returns."""
    seen = 0

    def step(event: str, args: tuple[object, ...] = ()) -> None:
        nonlocal seen
        counted = event in ("execute", "open", "os.rename", "os.remove")
        seen += counted
        if counted and seen == die_before:
            os.kill(os.getpid(), signal.SIGKILL)

    class Dying(sqlite3.Connection):
        def execute(self, *args: object) -> sqlite3.Cursor:
            step("execute")
            return super().execute(*args)  # type: ignore[arg-type]

    made = sqlite3.connect

    def dying(*args: object, **settings: object) -> sqlite3.Connection:
        return made(*args, **settings, factory=Dying)  # type: ignore[call-overload, no-any-return]

    sqlite3.connect = dying  # type: ignore[assignment]
    sys.addaudithook(step)
    try:
        connect(path).close()
    finally:
        os._exit(0)
