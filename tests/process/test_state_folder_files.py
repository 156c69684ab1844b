"""The files of the state folder: whatever became of them, the supervisor starts and says what is (P12, P15, R8)."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.core import journal as lines
from supervisor.core.overrides import MAX_BYTES, Override, to_document
from supervisor.helper.write_state import write
from supervisor.parent import statefile
from supervisor.parent.journal import ALIVE_EVERY, Journal
from supervisor.parent.linefile import LineFile
from supervisor.parent.overrides import RETRY, Toggles

OFF = Override(enabled=False, who="alice", since=100.0, until=None, note="", config_enabled=True)


def _toggles(path: Path) -> Toggles:
    return Toggles(str(path), stamp="20261125T140000Z")


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


def _link(path: Path) -> None:
    (path.parent / "target").write_text("precious")
    path.symlink_to(path.parent / "target")


BROKEN: dict[str, Callable[[Path], object]] = {
    "corrupt": lambda path: path.write_bytes(b"\x00\xff garbage"),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(to_document({"orders": OFF})[:-30]),
    "of the future": lambda path: path.write_text('{"version": 9, "toggles": {}}'),
    "1 GB": _huge,
    "a symbolic link": _link,
    "a directory": lambda path: path.mkdir(),
    "a fifo": lambda path: os.mkfifo(path),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_toggles_are_moved_aside_and_said(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "toggles.json"
    BROKEN[kind](path)
    toggles = _toggles(path)
    assert toggles.current == {}
    (note,) = toggles.notes
    assert note.startswith(f"{path}: expected the toggles set at run time, found: ")
    assert note.endswith(f"moved to {path}.bad-20261125T140000Z")
    assert not os.path.lexists(path)
    assert os.path.lexists(f"{path}.bad-20261125T140000Z")
    if kind == "a symbolic link":
        assert (tmp_path / "target").read_text() == "precious"
    assert toggles.take(now=0.0) == to_document({})


@pytest.mark.parametrize(
    "kind", [kind for kind in BROKEN if kind not in ("corrupt", "empty", "truncated", "of the future")]
)
def test_a_broken_journal_is_moved_aside_and_said(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "journal"
    BROKEN[kind](path)
    journal = Journal(str(path), stamp="20261125T140000Z")
    assert "expected the journal, found: " in journal.notes[0]
    journal.up(10.0)
    assert journal.problem is None
    assert path.read_text() == '{"time":10.0,"what":"up"}\n'


def test_a_journal_without_one_line_of_a_journal_is_moved_aside_and_one_torn_line_is_not(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"\x00\xff garbage\n\n{")
    (note,) = Journal(str(path), stamp="x").notes
    assert "expected the journal, found: no line of one; moved to" in note
    Journal(str(path), stamp="x").up(10.0)
    with path.open("a") as file:
        file.write('{"time":20.0,"wh')
    assert Journal(str(path), stamp="x").notes == []


def test_logs_that_are_no_files_are_moved_aside_and_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.log")
    (tmp_path / "b.log").symlink_to(tmp_path / "a.log")
    (tmp_path / "c.log").write_text("a line")
    (tmp_path / "c.log.1").mkdir()
    names = ("a.log", "b.log", "c.log", "c.log.1", "d.log")
    notes = statefile.clear([(f"{tmp_path}/{name}", "file") for name in names], "x")
    assert [note.partition(": ")[0] for note in notes] == [f"{tmp_path}/{n}" for n in ("a.log", "b.log", "c.log.1")]
    assert sorted(os.listdir(tmp_path)) == ["a.log.bad-x", "b.log.bad-x", "c.log", "c.log.1.bad-x"]


def test_toggles_outlive_the_supervisor(tmp_path: Path) -> None:
    path = tmp_path / "toggles.json"
    first = _toggles(path)
    assert first.take(now=0.0) is None  # nothing to write
    first.set("orders", OFF)
    document = first.take(now=0.0)
    assert document is not None
    write(str(path), document)
    assert _toggles(path).current == {"orders": OFF}
    assert _toggles(path).notes == []
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_one_toggle_that_cannot_be_read_loses_no_other(tmp_path: Path) -> None:
    path = tmp_path / "toggles.json"
    path.write_bytes(to_document({"orders": OFF}).replace(b'"toggles": {', b'"toggles": {"broken": 5, '))
    toggles = _toggles(path)
    assert toggles.current == {"orders": OFF}
    assert "the toggle of" in toggles.notes[0]
    assert toggles.take(now=0.0) == to_document({"orders": OFF})


def test_what_could_not_be_saved_is_in_force_is_said_and_is_tried_again(tmp_path: Path) -> None:
    toggles = _toggles(tmp_path / "toggles.json")
    toggles.set("orders", OFF)
    assert toggles.deadline() == 0.0
    assert toggles.take(now=50.0)
    assert toggles.deadline() is None
    toggles.set("task1", OFF)
    assert toggles.take(now=51.0) is None  # one helper at a time
    toggles.written("No space left on device", now=52.0)
    assert "toggles are not saved, a reboot would lose them" in (toggles.note or "")
    assert list(toggles.current) == ["orders", "task1"]
    assert toggles.take(now=52.0) is None
    assert toggles.deadline() == 52.0 + RETRY
    assert toggles.take(now=52.0 + RETRY) == to_document({"orders": OFF, "task1": OFF})
    toggles.written(None, now=58.0)
    assert toggles.note is None
    assert toggles.take(now=99.0) is None


def test_a_change_while_it_is_being_written_is_written_after_it(tmp_path: Path) -> None:
    toggles = _toggles(tmp_path / "toggles.json")
    toggles.set("orders", OFF)
    toggles.take(now=1.0)
    ended = toggles.settle({"orders": False}, now=2.0)
    assert [each.name for each in ended] == ["orders"]
    toggles.written(None, now=3.0)
    assert toggles.take(now=3.0) == to_document({})
    assert toggles.settle({}, now=4.0) == []


def test_a_document_of_all_that_can_be_toggled_is_far_below_the_limit() -> None:
    worst = Override(
        enabled=False, who="\U0001f4a9" * 50, since=1e9, until=2e9, note="\U0001f4a9" * 40, config_enabled=True
    )
    assert len(to_document({f"task{number}": worst for number in range(300)})) < MAX_BYTES


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    path = tmp_path / "toggles.json"
    write(str(path), b"old")
    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output error"):
        write(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["toggles.json"]


def test_a_writer_that_was_killed_left_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "toggles.json"
    old, new = to_document({"orders": OFF}), to_document({f"task{number}": OFF for number in range(500)})
    write(str(path), old)
    for round_ in range(100):
        pid = os.fork()
        if pid == 0:
            try:
                while True:
                    write(str(path), new)
                    write(str(path), old)
            finally:
                os._exit(1)
        for _ in range(round_):
            assert path.read_bytes() in (old, new)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert path.read_bytes() in (old, new)
    write(str(path), new)
    assert path.read_bytes() == new


def test_the_journal_tells_when_it_was_down_and_what_was_disabled(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first = Journal(str(path), stamp="x")
    first.up(100.0)
    first.toggle("orders", enabled=False, now=110.0)
    first.alive(120.0)  # less than a minute
    first.alive(110.0 + ALIVE_EVERY)
    first.alive(111.0 + ALIVE_EVERY)
    second = Journal(str(path), stamp="x")  # the first was killed
    second.up(500.0)
    second.toggle("orders", enabled=False, now=500.0)  # as it was
    second.toggle("task1", enabled=True, now=500.0)
    second.toggle("orders", enabled=True, now=510.0)
    second.down(520.0)
    told = path.read_text().splitlines()
    assert [lines.from_line(line).what for line in told] == (  # type: ignore[union-attr]
        ["up", "disabled", "alive", "up", "enabled", "enabled", "down"]
    )
    assert lines.down_periods(told)[0] == (170.0, 500.0)
    assert lines.disabled_periods(told, "orders") == [(110.0, 510.0)]


def test_a_clock_that_was_set_back_does_not_silence_the_journal(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "journal"), stamp="x")
    journal.up(1000.0)
    journal.alive(500.0)
    assert (tmp_path / "journal").read_text().count("\n") == 2


def test_a_journal_stays_small_and_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with path.open("w") as file:
        file.write(lines.to_line(lines.Event(0.0, "up")) + "\n")
        for minute in range(1, 40_000):
            file.write(lines.to_line(lines.Event(60.0 * minute, "alive")) + "\n")
    assert path.stat().st_size > lines.MAX_BYTES
    journal = Journal(str(path), stamp="x")
    journal.up(9_000_000.0)
    assert path.stat().st_size < 1000
    assert lines.down_periods(path.read_text().splitlines()) == [(60.0 * 39_999, 9_000_000.0)]
    assert os.listdir(tmp_path) == ["journal"]


def test_a_line_that_an_earlier_life_tore_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("whole\nhal")
    file = LineFile(str(path))
    assert file.append("next")
    assert file.append("more")
    assert path.read_text() == "whole\nhal\nnext\nmore\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_on_a_full_disk_lines_are_counted_and_later_ones_are_whole(tmp_path: Path) -> None:
    assert os.system(f"mount -t tmpfs -o size=16k tmpfs {tmp_path}") == 0
    try:
        file = LineFile(str(tmp_path / "lines"))
        while file.append("x" * 1000):
            pass
        assert file.problem == f"{tmp_path}/lines: cannot be written: the disk is full"
        for _ in range(10):
            file.append("y" * 1000)
        assert file.lost == 11
        with pytest.raises(OSError, match="No space left"):
            write(str(tmp_path / "state"), b"z" * 100_000)
        assert os.listdir(tmp_path) == ["lines"]
        with open(tmp_path / "lines", "r+b") as full:
            full.truncate(1500)
        assert file.append("z")
        assert (file.lost, file.problem) == (0, None)
        assert (tmp_path / "lines").read_text().splitlines()[-1] == "z"
    finally:
        os.system(f"umount {tmp_path}")


def test_a_file_that_is_removed_or_moved_is_found_again_and_a_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    file = LineFile(str(path))
    file.append("one")
    path.rename(tmp_path / "moved")
    assert file.append("two")
    assert path.read_text() == "two\n"
    path.unlink()
    path.symlink_to(tmp_path / "moved")
    assert not file.append("three")
    assert (tmp_path / "moved").read_text() == "one\n"
    path.unlink()
    path.mkdir()
    assert not file.append("four")
    assert file.lost == 2


def test_a_disk_that_refuses_only_at_the_close_costs_the_line_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system over a network takes the bytes, and says later that there is no room."""
    close = os.close

    def refused(fd: int) -> None:
        close(fd)
        raise OSError(28, "No space left on device")

    file = LineFile(str(tmp_path / "lines"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "close", refused)
        assert not file.append("one")
    assert file.problem == f"{tmp_path}/lines: cannot be written: No space left on device"
    assert file.append("two")
    assert (file.lost, file.problem) == (0, None)
