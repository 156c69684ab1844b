"""What the supervisor says reaches who reads, waits for nobody, and forges nothing (P11, P13, R12, R13)."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import socket
import subprocess
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.console import PIPE_BUF, Console
from supervisor.parent.output import Output, Style, rotate
from support.eventually import eventually


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    try:
        yield read, write
    finally:
        for fd in (read, write):
            try:
                os.close(fd)
            except OSError:
                pass  # closed by the test itself


@contextmanager
def _output(console: int | None, path: Path | None = None, **options: object) -> Iterator[Output]:
    made = Output(console, str(path) if path else None, **options)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()


def _read(fd: int) -> str:
    ready, _, _ = select.select([fd], [], [], 0)
    return os.read(fd, 1 << 20).decode() if ready else ""


def test_one_event_is_one_line_for_people_and_one_for_programs(tmp_path: Path) -> None:
    path = tmp_path / "supervisor.log"
    with _pipe() as (read, write), _output(write, path, clock=lambda: 0.0) as output:
        output.event("warning", "orders", "exit code 7", event="exit", pid=4711, reason=None)
        assert _read(read).endswith("orders         ✗ exit code 7\n")
    (line,) = path.read_text().splitlines()
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.000Z",
        "level": "warning",
        "child": "orders",
        "pid": 4711,
        "event": "exit",
        "text": "exit code 7",
    }


def test_as_json_the_console_has_the_lines_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "supervisor.log"
    with _pipe() as (read, write), _output(write, path, style="json") as output:
        output.event("info", "supervisor", "ready")
        assert _read(read) == path.read_text()


def test_what_is_below_the_level_is_not_said(tmp_path: Path) -> None:
    with _pipe() as (read, write), _output(write, tmp_path / "log", level="warning") as output:
        output.event("info", "orders", "quiet")
        output.event("error", "orders", "loud")
        assert "quiet" not in (told := _read(read))
        assert "loud" in told


def test_no_text_forges_a_line_or_moves_the_cursor(tmp_path: Path) -> None:
    path = tmp_path / "log"
    evil = "a\nsupervisor stopped\r\x1b[2J\x9b\x7f\u202e\ud800"
    with _pipe() as (read, write), _output(write, path) as output:
        output.event("info", evil, evil, reason=evil)
        told = _read(read)
    for text in (told, path.read_text()):
        assert text.count("\n") == 1
        assert all(character.isprintable() for character in text[:-1])


def test_a_pipe_that_nobody_reads_costs_lines_which_are_counted_and_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with _pipe() as (read, write), _output(write, path) as output:
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PIPE_BUF)
        for number in range(200):
            output.event("info", "orders", f"line {number} " + "x" * 100)
        assert output.dropped > 100
        dropped = output.dropped
        taken = _read(read)
        output.event("info", "orders", "after")
        told = _read(read).splitlines()
        assert told[0] == f"{dropped} lines dropped: nobody took them"
        assert told[1].endswith("after")
        assert taken.count("\n") == 200 - dropped
        assert taken.endswith("\n")
    assert path.read_text().count("\n") == 201


def test_the_shared_pipe_stays_as_it_was_for_the_others(tmp_path: Path) -> None:
    with _pipe() as (_, write), _output(write):
        assert os.get_blocking(write)


def test_a_reader_that_left_ends_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with _pipe() as (read, write), _output(write, path) as output:
        output.event("info", "a", "one")
        os.close(read)
        for number in range(3):
            output.event("info", "a", f"more {number}")
    assert path.read_text().count("\n") == 4


@pytest.mark.parametrize("closed", [None, "closed"])
def test_a_closed_stderr_ends_nothing(tmp_path: Path, closed: str | None) -> None:
    path = tmp_path / "log"
    fd = os.open(os.devnull, os.O_WRONLY)
    os.close(fd)
    with _output(fd if closed else None, path) as output:
        output.event("info", "a", "one")
    assert path.read_text().count("\n") == 1


def test_a_socket_as_of_a_system_log_is_written_without_waiting(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, _output(ours.fileno()) as output:
        output.event("info", "a", "one")
        assert theirs.recv(1000).decode().endswith("one\n")
        for _ in range(10_000):
            output.event("info", "a", "x" * 1000)
        assert output.dropped > 0
        assert os.get_blocking(ours.fileno())


def test_a_file_is_written_where_the_others_write(tmp_path: Path) -> None:
    path = tmp_path / "stderr"
    with path.open("wb", buffering=0) as shared, _output(shared.fileno()) as output:
        shared.write(b"of a child\n")
        output.event("info", "a", "of the supervisor")
        shared.write(b"of a child again\n")
    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["child", "supervisor", "again"]


def test_a_stopped_terminal_costs_lines_and_waits_for_nobody() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    termios.tcflow(slave, termios.TCOOFF)  # as Ctrl-S
    try:
        with _output(slave) as output:
            for number in range(500):
                output.event("info", "a", f"line {number} " + "x" * 200)
            assert output.dropped > 100
            termios.tcflow(slave, termios.TCOON)
            told = ""
            for number in range(100):
                told += _read(master)
                output.event("info", "a", f"later {number}")
            told += _read(master)
        lines = told.splitlines()
        assert any("lines dropped: nobody took them" in line for line in lines)
        assert all(line[:2].isdigit() for line in lines), "a line was torn"
    finally:
        os.close(master)
        os.close(slave)


def test_a_terminal_that_takes_half_a_line_gets_the_other_half_first() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    try:
        with _output(slave) as output:
            while not output.dropped:
                output.event("info", "a", "line " + "x" * 3950)
            told = ""

            def ended() -> bool:
                """The kernel moves what is written to the reader's side in its own time, so the last may come late."""
                nonlocal told
                told += _read(master)
                output.event("info", "a", "later")
                return told.endswith("later\n")

            eventually(ended)
        whole = re.compile(r"\d\d:\d\d:\d\d\.\d\d a +(line x{3950}|later)|\d+ lines dropped: nobody took them")
        assert [line for line in told.splitlines() if not whole.fullmatch(line)] == []
    finally:
        os.close(master)
        os.close(slave)


class _Late(Console):
    """Between its look and its write another process filled the pipe."""

    def _writable(self, fd: int) -> bool:
        return True


def test_a_pipe_that_others_filled_just_now_is_not_waited_for() -> None:
    with _pipe() as (_, write):
        console = _Late(write)
        while console.write("x" * 4000):  # more than the page that is begun can take
            pass
        assert not console.write("x" * 4000)
        assert console.dropped == 2
        console.close()


def test_a_line_is_cut_so_that_a_pipe_takes_it_whole() -> None:
    with _pipe() as (read, write):
        console = Console(write)
        assert console.write("ż" * 5000)
        told = os.read(read, 1 << 20)
        console.close()
    assert len(told) <= PIPE_BUF
    assert told.decode().endswith("ż …(cut)\n")


def test_the_log_file_is_rotated_by_size_and_some_old_ones_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "supervisor.log"
    with _output(None, path, max_bytes=1000, keep=2) as output:
        for number in range(100):
            output.event("info", "a", f"line {number}")
    assert sorted(os.listdir(tmp_path)) == ["supervisor.log", "supervisor.log.1", "supervisor.log.2"]
    assert all(os.path.getsize(tmp_path / name) < 1200 for name in os.listdir(tmp_path))
    kept = [tmp_path / name for name in ("supervisor.log.2", "supervisor.log.1", "supervisor.log")]
    newest = [json.loads(line)["text"] for file in kept for line in file.read_text().splitlines()]
    assert newest[-1] == "line 99"
    assert newest == [f"line {number}" for number in range(100 - len(newest), 100)]


def test_rotation_without_old_files_begins_anew_and_a_missing_file_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("x")
    rotate(str(path), keep=0)
    assert os.listdir(tmp_path) == []
    rotate(str(path), keep=3)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_is_told_once_it_has_room_again_and_makes_no_noise(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(tmp_path)], check=True)
    path = tmp_path / "supervisor.log"
    try:
        with _pipe() as (read, write), _output(write, path) as output:
            while output.problem is None:
                output.event("info", "a", "x" * 500)
            assert output.problem == f"{path}: cannot be written: the disk is full"
            _read(read)
            for number in range(20):
                output.event("info", "a", f"lost {number} " + "x" * 500)
            assert _read(read).count("\n") == 20  # the events themselves, and not a word more
            os.truncate(path, 0)
            output.event("info", "a", "again")
            assert output.problem is None
        told = [json.loads(line)["text"] for line in path.read_text().splitlines()]
        assert told == ["again", f"21 lines before this one are lost: {path} could not be written"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_traceback_stands_in_the_log_and_on_the_console_only_for_programs_or_as_a_last_resort(
    tmp_path: Path, style: Style
) -> None:
    path, nowhere = tmp_path / "supervisor.log", tmp_path / "away" / "supervisor.log"
    with _pipe() as (read, write):
        for log, shown in ((path, style == "json"), (nowhere, True)):
            with _output(write, log, style=style) as output:
                output.event("error", "supervisor", "a bug", traceback="Traceback (most recent call last):\n  …")
            assert ("Traceback" in _read(read)) is shown
    assert "Traceback" in path.read_text()
