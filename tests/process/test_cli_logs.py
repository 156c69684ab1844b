"""`supervisor logs`: several files as one, and following what happens to them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.eventually import eventually
from support.project import Project

START = datetime.now(UTC) - timedelta(minutes=30)
CONFIG = """
[tasks.a]
run = "mine:tick"
every = "5m"
[tasks.b]
run = "mine:tick"
every = "5m"
"""


@pytest.fixture
def own(project: Callable[..., Project]) -> Project:
    made = project(CONFIG, "def tick(): pass\n")
    (made.state / "logs").mkdir(parents=True)
    return made


def line(child: str, text: str, after: float, *, level: str = "info", pid: int = 7) -> str:
    time = (START + timedelta(seconds=after)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": time, "level": level, "child": child, "pid": pid, "text": text}) + "\n"


def write(own: Project, child: str, *lines: str) -> Path:
    path = own.state / "logs" / f"{child}.log"
    with open(path, "a") as file:
        file.writelines(lines)
    return path


def shown(own: Project, *arguments: str) -> list[str]:
    done = own.run("logs", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return [text[12:] for text in done.stdout.splitlines()]


def test_several_files_are_merged_by_time(own: Project) -> None:
    write(own, "a", line("a", "one", 1), line("a", "three", 3))
    write(own, "b", line("b", "two", 2), "printed\n", line("b", "four", 4))
    assert shown(own) == [
        "a              one",
        "b              two",
        "b              printed",
        "a              three",
        "b              four",
    ]


def test_names_groups_and_the_number_of_lines(own: Project) -> None:
    for at, name in enumerate(["a", "b", "orders:1", "orders:2"]):
        write(own, name, *(line(name, f"{name} {n}", 10 * n + at) for n in range(60)))
    assert len(shown(own)) == 50
    assert len(shown(own, "-n", "3")) == 3
    assert shown(own, "a", "-n", "2") == ["a              a 58", "a              a 59"]
    assert shown(own, "orders", "-n", "2") == ["orders:1       orders:1 59", "orders:2       orders:2 59"]
    assert shown(own, "-n", "0") == []


def test_level_grep_and_since_choose(own: Project) -> None:
    now = (datetime.now(UTC) - START).total_seconds()  # minutes may have passed since this file was imported
    write(
        own,
        "a",
        line("a", "old", now - 1800),
        line("a", "could not connect", now - 300, level="error"),
        line("a", "slow", now - 299, level="warning"),
        line("a", "connected", now - 298),
    )
    assert shown(own, "--level", "warning") == ["a              ERROR could not connect", "a              WARNING slow"]
    assert shown(own, "--grep", "connect") == ["a              ERROR could not connect", "a              connected"]
    assert len(shown(own, "--since", "10m")) == 3
    assert len(shown(own, "--since", "1h")) == 4


def test_json_gives_the_records(own: Project) -> None:
    write(own, "a", line("a", "one\x1b", 1), "raw\n")
    done = own.run("logs", "--json")
    assert done.stdout.isascii()
    assert [json.loads(text)["text"] for text in done.stdout.splitlines()] == ["one\x1b", "raw"]


def test_a_new_process_is_set_apart(own: Project) -> None:
    write(own, "a", line("a", "one", 1, pid=7), line("a", "two", 2, pid=8))
    assert shown(own)[1] == "a              ── started, pid 8 ────────────────────────"


def test_nothing_in_a_log_moves_the_cursor(own: Project) -> None:
    write(own, "a", line("a", "\x1b[2J\r\x9b", 1), "\x1b[31mprinted\r\n", line("forged\n", "x", 2))
    done = own.run("logs")
    assert not any((ord(c) < 0x20 and c != "\n") or 0x7F <= ord(c) <= 0x9F for c in done.stdout)
    assert "forged" not in done.stdout  # a child speaks in its own name only


def test_an_unknown_name_is_refused_and_a_known_one_without_a_log_is_not(own: Project) -> None:
    write(own, "orders:1", line("orders:1", "x", 1))
    typo = own.run("logs", "order")
    assert (typo.returncode, typo.stderr) == (4, "error: there is no child 'order'; did you mean 'orders'?\n")
    none = own.run("logs", "b")
    assert (none.returncode, none.stdout) == (0, "")
    assert "no log yet in .supervisor/logs" in none.stderr


@contextmanager
def following(own: Project, *arguments: str) -> Iterator[Callable[[], list[str]]]:
    out = own.folder / "followed"
    with open(out, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "supervisor", "logs", "-f", *arguments], cwd=own.folder, stdout=file
        )
    try:
        yield lambda: [text[27:] for text in out.read_text().splitlines()]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


def test_following_survives_rotation_removal_and_a_new_process(own: Project) -> None:
    path = write(own, "a", line("a", "one", 1))
    with following(own, "a") as seen:
        eventually(lambda: seen() == ["one"], within=30)
        write(own, "a", line("a", "two", 2))
        os.replace(path, f"{path}.1")
        write(own, "a", line("a", "three", 3, pid=8))
        eventually(lambda: len(seen()) == 4, within=30)
        path.unlink()
        write(own, "a", line("a", "four", 4, pid=8))
        eventually(lambda: len(seen()) == 5, within=30)
    assert seen() == ["one", "two", "── started, pid 8 ────────────────────────", "three", "four"]


def test_following_finds_children_that_come_later(own: Project) -> None:
    with following(own) as seen:
        write(own, "b", line("b", "hello", 1))
        eventually(lambda: seen() == ["hello"], within=30)


def test_following_shows_a_line_once_it_is_whole(own: Project) -> None:
    write(own, "a", line("a", "one", 1), "begin")
    with following(own, "a") as seen:
        eventually(lambda: seen() == ["one"], within=30)
        write(own, "a", "ning\n")
        eventually(lambda: seen() == ["one", "beginning"], within=30)
