"""The ledger: one row per slot, true after every kind of end, and no trouble of the file stops a run."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from supervisor.child.birth import LastExit
from supervisor.child.schedule.held import Held
from supervisor.child.schedule.ledger import Ledger
from supervisor.child.schedule.ledger_file import Row, connect, records
from supervisor.core.schedule.missed import Range

NOW = 1_795_590_000.0


class Opened:
    """A ledger on a file, with a clock that the test moves, and what it told."""

    def __init__(self, path: Path, *, folder: bool = False) -> None:
        if folder:
            path.parent.mkdir()
        self.path = str(path)
        self.now = NOW
        self.told: list[str] = []
        self.ledger = Ledger(self.path, lambda code, text: self.told.append(text), now=lambda: self.now)

    def again(self) -> Ledger:
        self.ledger.shut()
        self.ledger = Ledger(self.path, lambda code, text: self.told.append(text), now=lambda: self.now)
        return self.ledger

    def run(self, slot: float, state: str = "ok", kind: str = "schedule") -> Row:
        self.now = slot
        row = self.ledger.begin(slot, kind, attempt=1, lateness=0.01)
        self.now += 1
        return self.ledger.finish(row, state, duration=1.0)

    def states(self) -> list[str]:
        return [r["state"] for r in records(self.path, limit=1000)]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    made = Opened(tmp_path / "mail.db")
    yield made
    made.ledger.shut()


def missed(first: float, last: float, slots: int | None = 2, reason: str = "down") -> Range:
    return Range(NOW + first, NOW + last, slots, "missed", reason)


def test_a_run_is_recorded_before_it_starts_and_again_when_it_ends(opened: Opened) -> None:
    row = opened.ledger.begin(NOW, "schedule", attempt=1, lateness=0.0123, id="x1")
    assert opened.states() == ["running"]
    opened.now += 0.5
    opened.ledger.finish(row, "failed", duration=0.5, error="ValueError: no", result="[1]")
    assert records(opened.path) == [
        {
            "task": "mail", "slot": "2026-11-25T07:00:00.000Z", "kind": "schedule", "state": "failed", "attempt": 1,
            "started": "2026-11-25T07:00:00.000Z", "finished": "2026-11-25T07:00:00.500Z", "duration": 0.5,
            "lateness": 0.0123, "error": "ValueError: no", "result": "[1]", "id": "x1",
        }
    ]  # fmt: skip


def test_attempts_are_one_row(opened: Opened) -> None:
    for attempt in (1, 2, 3):
        row = opened.ledger.begin(NOW, "schedule", attempt=attempt, lateness=0.0)
        opened.ledger.finish(row, "failed" if attempt < 3 else "ok", duration=0.1)
    assert [(r["attempt"], r["state"]) for r in records(opened.path)] == [(3, "ok")]


def test_kinds_are_rows_of_their_own(opened: Opened) -> None:
    for kind in ("schedule", "manual", "start"):
        opened.run(NOW, kind=kind)
    assert len(records(opened.path)) == 3
    assert opened.ledger.has(NOW)
    assert not opened.ledger.has(NOW + 1)


def test_the_latest_are_read_and_stand_last(opened: Opened) -> None:
    for n in range(5):
        opened.run(NOW + 10 * n)
    assert [r["slot"][-9:-5] for r in records(opened.path, limit=2)] == ["0:30", "0:40"]


def test_ranges_next_to_each_other_are_one_row(opened: Opened) -> None:
    ledger = opened.ledger
    ledger.close(missed(0, 10))
    ledger.close(missed(20, 40, 3), NOW + 10)
    (row,) = records(opened.path)
    assert (row["slots"], row["last"][-9:-5]) == (5, "0:40")
    ledger.close(Range(NOW + 50, NOW + 50, 1, "skipped", "overlap"), NOW + 40)
    ledger.close(missed(70, 80), None)
    ledger.close(missed(90, 900, None), NOW + 80)
    assert [(r["state"], r.get("slots")) for r in records(opened.path)] == [
        ("missed", 5),
        ("skipped", 1),
        ("missed", None),
    ]
    assert ledger.settled() == NOW + 900
    assert ledger.has(NOW + 25)
    assert not ledger.has(NOW + 60)


def test_a_new_ledger_has_settled_nothing(opened: Opened) -> None:
    assert opened.ledger.settled() is None
    opened.ledger.set_meta("since", NOW)
    assert opened.again().settled() == NOW
    assert opened.ledger.last() is None
    opened.run(NOW + 30)
    last = opened.ledger.last()
    assert last is not None
    assert last["slot"] == NOW + 30


CLOSED = [
    (None, "lost"),
    (LastExit(cause="crash", reason="signal SIGKILL"), "lost"),
    (LastExit(cause="timed_out", reason="running for 12s"), "timed_out"),
    (LastExit(cause="hung", reason="no heartbeat"), "killed"),
    (LastExit(cause="oom", reason="over 100 MiB"), "killed"),
    (LastExit(cause="planned", reason="stopped"), "interrupted"),
]


@pytest.mark.parametrize(("previous", "state"), CLOSED)
def test_the_next_process_closes_what_was_running(opened: Opened, previous: LastExit | None, state: str) -> None:
    opened.run(NOW - 30)
    opened.ledger.begin(NOW, "schedule", attempt=1, lateness=0.0)
    (row,) = opened.again().close_open(previous)
    assert row["state"] == state
    assert opened.states() == ["ok", state]
    assert opened.ledger.close_open(None) == []


def test_sigterm_marks_at_once_and_the_verdict_or_the_end_has_the_last_word(opened: Opened) -> None:
    row = opened.ledger.begin(NOW, "schedule", attempt=1, lateness=0.0)
    opened.ledger.interrupt()
    assert opened.states() == ["interrupted"]
    opened.ledger.finish(row, "ok", duration=1.0)
    opened.ledger.interrupt()
    assert opened.states() == ["ok"]
    opened.ledger.begin(NOW + 10, "schedule", attempt=1, lateness=0.0)
    opened.ledger.interrupt()
    assert opened.again().close_open(LastExit(cause="timed_out", reason="r"))[0]["state"] == "timed_out"


def test_after_a_term_a_crash_is_still_an_interruption(opened: Opened) -> None:
    opened.ledger.begin(NOW, "schedule", attempt=1, lateness=0.0)
    opened.ledger.interrupt()
    assert opened.again().close_open(None)[0]["state"] == "interrupted"


def test_old_rows_go_by_age_and_by_number_and_stay_settled(opened: Opened) -> None:
    for n in range(10):
        opened.run(NOW + 10 * n)
    opened.ledger.prune(keep=1e6, most=4)
    assert len(records(opened.path)) == 4
    opened.now = NOW + 1000
    opened.ledger.prune(keep=100, most=100)
    assert records(opened.path) == []
    assert opened.again().settled() == NOW + 90


def test_a_row_that_is_open_is_not_pruned(opened: Opened) -> None:
    opened.ledger.begin(NOW, "schedule", attempt=1, lateness=0.0)
    opened.now += 1e7
    opened.ledger.prune(keep=1, most=0)
    assert opened.states() == ["running"]


def test_a_clock_that_was_set_back_voids_what_did_not_run(opened: Opened) -> None:
    opened.run(NOW)
    opened.ledger.close(missed(10, 100, 10))
    opened.run(NOW + 200)
    opened.ledger.close(missed(300, 400))
    opened.ledger.set_meta("since", NOW + 400)
    opened.ledger.forget_future(NOW + 50)
    assert [(r["state"], r.get("slots")) for r in records(opened.path)] == [
        ("ok", None),
        ("missed", None),
        ("ok", None),
    ]
    assert not opened.ledger.has(NOW + 60)
    assert opened.ledger.has(NOW + 200)  # it ran: it never runs again
    assert opened.ledger.meta("since") == NOW + 50


def damage(path: str, how: str) -> None:
    if how == "no database":
        Path(path).write_bytes(b"this was never a database" * 400)
    elif how == "torn page":
        db = connect(path)
        for n in range(400):
            db.execute("INSERT INTO run (slot, kind, state, error) VALUES (?, 'schedule', 'ok', ?)", (n, "x" * 90))
        db.close()
        raw = bytearray(Path(path).read_bytes())
        raw[8192:12288] = os.urandom(4096)
        Path(path).write_bytes(raw)
    elif how == "a folder":
        os.mkdir(path)
    elif how == "a FIFO":
        os.mkfifo(path)
    elif how == "a link to nothing":
        os.symlink("/nowhere/at/all", path)
    else:
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 99")
        db.close()


@pytest.mark.parametrize("how", ["no database", "torn page", "a later version"])
def test_a_file_that_cannot_be_used_is_moved_aside_and_told(tmp_path: Path, how: str) -> None:
    path = tmp_path / "mail.db"
    damage(str(path), how)
    before = path.read_bytes()
    opened = Opened(path)
    opened.run(NOW)
    opened.ledger.shut()
    assert opened.states() == ["ok"]
    (aside,) = [p for p in tmp_path.iterdir() if "unreadable" in p.name and not p.name.endswith(("-wal", "-shm"))]
    assert aside.read_bytes() == before
    assert "was moved to" in opened.told[0]


@pytest.mark.parametrize("how", ["a folder", "a FIFO", "a link to nothing"])
def test_what_is_no_file_is_neither_followed_nor_waited_for(tmp_path: Path, how: str) -> None:
    path = tmp_path / "mail.db"
    damage(str(path), how)
    with pytest.raises(sqlite3.Error, match="expected a file, found something else"):
        records(str(path))
    opened = Opened(path)
    opened.run(NOW)
    opened.ledger.shut()
    assert opened.states() == ["ok"]
    assert opened.told[0].endswith("the history begins anew")


def test_a_link_in_the_place_of_the_log_of_changes_costs_no_record(opened: Opened) -> None:
    opened.run(NOW)
    opened.ledger.shut()
    wal = Path(f"{opened.path}-wal")
    wal.unlink(missing_ok=True)
    wal.symlink_to("/nowhere/at/all")
    told = len(opened.told)
    opened.again()
    opened.run(NOW + 60)
    assert opened.states() == ["ok", "ok"]
    assert "-wal" in opened.told[told]
    assert "anew" not in opened.told[told]


def test_a_file_that_breaks_while_in_use_is_replaced(opened: Opened) -> None:
    for n in range(2000):
        opened.run(NOW + n, "failed: " + "x" * 90)
    ledger = opened.again()
    with open(opened.path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    for n in range(0, 2000, 50):  # all over the file, more than its cache holds
        opened.run(NOW + n)
    assert "was moved to" in "".join(opened.told)
    assert ledger.has(NOW + 1950)


WAYS = ["its first bytes", "all of it", "a page in the middle", "the log of changes", "cut in half", "cut to nothing"]
WAYS += ["the log cut to nothing"]


def overwrite(path: str, how: str) -> None:
    """What a wrong command does to a file: it stays the same file."""
    size, at, data = os.stat(path).st_size, 0, b""
    match how:
        case "its first bytes":
            data = b"no database at all"
        case "all of it":
            data = b"x" * size
        case "a page in the middle":
            at, data = size // 8192 * 4096, b"x" * 4096
        case "the log of changes":
            path, data = f"{path}-wal", b"x" * 100_000
        case "cut in half":
            os.truncate(path, size // 2)
        case "cut to nothing":
            os.truncate(path, 0)
        case "the log cut to nothing":
            os.truncate(f"{path}-wal", 0)
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("before", [5, 600], ids=["all in the log of changes", "more than the log"])
@pytest.mark.parametrize("how", WAYS)
def test_a_file_that_is_overwritten_in_use_costs_no_record(opened: Opened, how: str, before: int) -> None:
    """What the process has in memory and in the log goes into a new file when the old one cannot be read by others."""
    for n in range(before):
        opened.run(NOW + n)
    overwrite(opened.path, how)
    for n in range(before, before + 3):
        opened.ledger.look()
        opened.run(NOW + n)
    assert len(records(opened.path, limit=1000)) == before + 3
    assert len(opened.told) <= 1
    assert all("was moved to" in text for text in opened.told)
    assert opened.ledger.settled() == NOW + before + 2


@pytest.mark.parametrize("how", ["all of it", "cut to nothing"])
def test_a_file_that_is_overwritten_while_a_run_lasts_costs_no_record(opened: Opened, how: str) -> None:
    """The write of its end is no reason to take the file for what it was."""
    for n in range(5):
        opened.run(NOW + n)
    row = opened.ledger.begin(NOW + 5, "schedule", attempt=1, lateness=0.0)
    overwrite(opened.path, how)
    opened.ledger.finish(row, "ok", duration=1.0)
    opened.ledger.look()
    assert opened.states() == ["ok"] * 6
    assert len(opened.told) == 1


def test_of_a_file_that_nobody_can_read_any_more_no_slot_starts_again(opened: Opened) -> None:
    """Neither its records nor what it says of the time before can be had: all until now may have started."""
    opened.ledger.set_meta("since", NOW)  # what this process said when it began
    for n in range(2000):
        opened.run(NOW + n, "failed: " + "x" * 90)
    with open(opened.path, "r+b") as file, open(f"{opened.path}-wal", "r+b") as log:
        file.write(b"x" * os.path.getsize(opened.path))
        log.write(b"x" * os.path.getsize(f"{opened.path}-wal"))
    opened.ledger.look()
    assert "was moved to" in opened.told[-1]
    assert records(opened.path, limit=10) == []
    assert (opened.again().settled() or 0.0) >= NOW + 1999


def test_another_writer_and_a_lock_make_no_new_file(opened: Opened) -> None:
    opened.run(NOW)
    with closing(sqlite3.connect(opened.path, isolation_level=None)) as other:
        other.execute("UPDATE run SET error = 'a note of mine'")
        opened.ledger.look()
        other.execute("BEGIN EXCLUSIVE")
        opened.ledger.look()
        opened.run(NOW + 1)
        other.execute("ROLLBACK")
    opened.ledger.look()
    opened.run(NOW + 2)
    assert opened.states() == ["ok"] * 3
    assert not [text for text in opened.told if "moved" in text]


def test_a_folder_that_cannot_be_written_costs_the_history_and_not_the_runs(tmp_path: Path) -> None:
    (tmp_path / "no folder").write_text("")
    opened = Opened(tmp_path / "no folder" / "mail.db")
    opened.run(NOW)
    assert opened.ledger.has(NOW)
    assert "history is not kept" in opened.told[0]
    opened.ledger.shut()


@contextmanager
def full_disk() -> Iterator[None]:
    """A limit on the size of files is a disk that is full, for this process only."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)


def test_a_full_disk_is_told_once_and_what_it_kept_out_is_written_later(opened: Opened) -> None:
    opened.run(NOW)
    with full_disk():
        opened.run(NOW + 10)
        opened.run(NOW + 20, "failed")
        assert opened.ledger.has(NOW + 10)
        assert opened.ledger.settled() == NOW + 20
        assert "history is not kept" in str(opened.ledger.problem)
    assert len(opened.told) == 1
    assert opened.states() == ["ok"]
    opened.ledger.look()
    assert opened.ledger.problem is None
    assert opened.states() == ["ok", "ok", "failed"]


def test_a_run_that_ends_while_the_disk_is_full_is_not_left_running(opened: Opened) -> None:
    row = opened.ledger.begin(NOW, "schedule", attempt=1, lateness=0.0)
    with full_disk():
        opened.ledger.finish(row, "ok", duration=1.0)
        assert opened.states() == ["running"]
    opened.run(NOW + 10)
    assert opened.states() == ["ok", "ok"]


def test_of_a_disk_that_is_full_for_long_the_oldest_runs_become_one_range() -> None:
    held = Held(most=3)
    for at in range(6):
        held.add({"slot": NOW + at, "kind": "schedule", "state": "ok", "started": NOW + at})
    held.add({"slot": NOW, "kind": "manual", "state": "ok", "started": NOW})
    kept = [(row["slot"] - NOW, row["kind"], row["state"], row.get("slots")) for row in held]
    assert kept == [(0, "schedule", "lost", 5), (5, "schedule", "ok", None), (0, "manual", "ok", None)]
    assert held.covering(NOW + 2, NOW + 2)


def test_a_ledger_that_begins_without_its_file_takes_it_when_it_is_there(tmp_path: Path) -> None:
    earlier = Opened(tmp_path / "history" / "mail.db", folder=True)
    earlier.ledger.set_meta("trigger", "every 10s")
    earlier.run(NOW)
    earlier.ledger.begin(NOW + 10, "schedule", attempt=1, lateness=0.0)
    earlier.ledger.shut()
    (tmp_path / "history").rename(tmp_path / "away")
    opened = Opened(tmp_path / "history" / "mail.db")
    opened.ledger.set_meta("trigger", "every 10s")
    opened.ledger.set_meta("since", NOW + 55)
    opened.run(NOW + 60)
    assert "history is not kept" in str(opened.ledger.problem)
    (tmp_path / "away").rename(tmp_path / "history")
    opened.now = NOW + 70
    assert opened.ledger.look() == (NOW + 10, NOW + 55)
    assert opened.ledger.problem is None
    assert opened.states() == ["ok", "running", "ok"]
    assert [row["slot"] for row in opened.ledger.close_open(None)] == [NOW + 10]
    opened.ledger.shut()


@pytest.mark.parametrize("ends", [("",), ("", "-wal", "-shm")], ids=["the file alone", "all three"])
def test_a_file_that_is_deleted_begins_anew_and_it_is_said(opened: Opened, ends: tuple[str, ...]) -> None:
    opened.ledger.set_meta("trigger", "every 10s")
    opened.run(NOW)
    for end in ends:
        os.unlink(opened.path + end)
    opened.ledger.look()
    opened.ledger.look()
    assert len(opened.told) == 1
    assert "deleted or replaced" in opened.told[0]
    assert opened.ledger.settled() == NOW
    opened.run(NOW + 10)
    assert opened.states() == ["ok"]
    again = opened.again()
    assert (again.meta("trigger"), again.settled()) == ("every 10s", NOW + 10)


def test_history_reads_while_the_runner_writes_and_with_the_sqlite_command(opened: Opened) -> None:
    opened.ledger.begin(NOW, "schedule", attempt=1, lateness=0.0)
    assert opened.states() == ["running"]
    said = subprocess.run(
        ["sqlite3", "-readonly", opened.path, "SELECT state FROM run"], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "running"


def test_a_reader_who_may_not_write_the_folder_reads(opened: Opened, tmp_path: Path) -> None:
    opened.run(NOW)
    opened.ledger.shut()
    tmp_path.chmod(0o500)
    try:
        assert opened.states() == ["ok"]
    finally:
        tmp_path.chmod(0o700)
    opened.again()


def test_reading_what_is_no_ledger_says_so(tmp_path: Path) -> None:
    damage(str(tmp_path / "mail.db"), "no database")
    with pytest.raises(sqlite3.Error):
        records(str(tmp_path / "mail.db"))
