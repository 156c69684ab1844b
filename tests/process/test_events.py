"""Every transition has a number, none is missing: over restarts, rotation, kills and full disks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.parent.events import Events
from support.eventually import eventually
from support.project import FAST, NOTE, Project

CONFIG = (
    FAST
    + """
[tasks.one]
run = "mine:tick"
every = "1h"

[tasks.two]
run = "mine:tick"
every = "1h"
"""
)
CODE = NOTE + "\n\ndef tick():\n    note('runs')\n"


def _events(path: Path, **options: Any) -> Events:
    return Events(str(path), stamp="20261125T140000Z", **options)


def _written(*paths: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in paths if path.exists() for line in path.read_text().splitlines()]


def test_numbers_go_on_in_the_next_life(tmp_path: Path) -> None:
    path = tmp_path / "events"
    for life in range(3):
        events = _events(path)
        events.add("info", "a", f"life {life}", event="ready", reason=None)
        events.add("info", "a", "more", from_="starting", to="running")
    found = _written(path)
    assert [event["seq"] for event in found] == [1, 2, 3, 4, 5, 6]
    assert found[1]["from"] == "starting"
    assert "reason" not in found[0]


def test_a_line_that_was_torn_by_a_kill_or_is_none_gives_no_number(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_text('{"seq": 41, "text": "x"}\n{"seq": true}\n[1]\n' + "9" * 5000 + '\n{"seq": 42, "tex')
    events = _events(path)
    events.add("info", "a", "next")
    assert json.loads(path.read_text().splitlines()[-1])["seq"] == 42


@pytest.mark.parametrize("kind", ["a link", "a folder", "a fifo"])
def test_what_is_no_file_is_moved_aside_and_said(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "events"
    (tmp_path / "precious").write_text("precious")
    makers = {"a link": lambda: path.symlink_to("precious"), "a folder": path.mkdir, "a fifo": lambda: os.mkfifo(path)}
    makers[kind]()
    events = _events(path)
    (note,) = events.notes
    assert note.startswith(f"{path}: expected the file of the events")
    events.add("info", "a", "first")
    assert [event["seq"] for event in _written(path)] == [1]
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_gigabyte_of_it_costs_one_look_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "events"
    with path.open("wb") as file:
        file.truncate(1 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b'\n{"seq": 7, "text": "x"}\n')
    events = _events(path)
    events.add("info", "a", "next")
    assert (events.seq, path.exists()) == (8, False)
    events.add("info", "a", "in a new file")
    assert [event["seq"] for event in _written(path)] == [9]


def test_numbers_go_on_over_the_rotation_and_little_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "events"
    events = _events(path, max_bytes=2000)
    for number in range(100):
        events.add("info", "a", f"event {number}")
    files = [path.with_name("events.2"), path.with_name("events.1"), path]
    numbers = [event["seq"] for event in _written(*files)]
    assert numbers == list(range(numbers[0], 101))
    assert sorted(os.listdir(tmp_path)) in (["events", "events.1", "events.2"], ["events.1", "events.2"])
    assert _events(path).seq == 100


def test_whatever_a_child_says_the_line_has_its_number(tmp_path: Path) -> None:
    path = tmp_path / "events"
    evil = "\U0001f600\x00\x1b" * 5000
    _events(path).add("info", "a", evil, event="x", reason=evil)
    (line,) = path.read_bytes().splitlines()
    assert json.loads(line)["seq"] == 1
    assert len(line) <= 8192
    assert b"\x1b" not in line


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_on_a_full_disk_events_are_counted_and_the_numbers_have_no_gap(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(tmp_path)], check=True)
    path = tmp_path / "events"
    try:
        events = _events(path)
        while events.problem is None:
            events.add("info", "a", "x" * 1000)
        for _ in range(5):
            events.add("info", "a", "y" * 1000)
        assert events.problem == f"{path}: cannot be written: the disk is full: 6 event(s) lost"
        written = len(_written(path))  # each of its lines is whole
        with path.open("r+b") as file:
            file.truncate(len(file.readline()) * 3)
        events.add("info", "a", "again")
        assert events.problem is None
        found = _written(path)
        assert [event["seq"] for event in found] == [1, 2, 3, written + 1, written + 2]
        assert [event["text"] for event in found[-2:]] == ["6 events before this one are lost", "again"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_every_transition_is_there_over_kills_and_restarts_of_the_supervisor(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code=CODE)
    supervisor = made.supervisor()
    with supervisor:
        supervisor.wait_ready()
        os.kill(supervisor.pid_of("one"), signal.SIGKILL)
        supervisor.wait_child("one", lambda child: child["restarts"] == 1 and child["ready"])
        supervisor.kill()
        supervisor.start().wait_ready()
        assert supervisor.cli("disable", "two", "--note", "why \x1b[31m").returncode == 0
        supervisor.wait_child("two", lambda child: child["state"] == "stopped")
        assert supervisor.stop() == 0
    found = _written(made.state / "events")
    assert [event["seq"] for event in found] == list(range(1, len(found) + 1))
    steps = [(event["from"], event["to"]) for event in found if event["child"] == "one" and "to" in event]
    alive = [("stopped", "starting"), ("starting", "running")]
    died = [("running", "backoff"), ("backoff", "starting"), ("starting", "running")]
    assert steps == [*alive, *died, *alive, ("running", "stopping"), ("stopping", "stopped")]
    told = made.run("events", "-n", "1000")
    assert told.returncode == 0
    assert len(told.stdout.splitlines()) == len(found)
    assert "\x1b" not in told.stdout
    assert "killed by SIGKILL (not by us)" in told.stdout
    some = made.run("events", "two", "--json", "-n", "3")
    assert [json.loads(line)["child"] for line in some.stdout.splitlines()] == ["two"] * 3


def test_follow_goes_on_over_rotation_and_a_restart(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code=CODE)
    made.state.mkdir(mode=0o700)
    path = made.state / "events"
    events = _events(path, max_bytes=3000)
    events.add("info", "a", "before")
    out = made.folder / "followed"
    with out.open("wb") as file:
        command = [sys.executable, "-m", "supervisor", "events", "-f", "--json"]
        following = subprocess.Popen(command, cwd=made.folder, stdout=file)
    try:
        eventually(lambda: len(out.read_text().splitlines()) == 1, within=30)
        for number in range(40):
            events.add("info", "a", f"event {number}")
            if number % 10 == 0:
                eventually(lambda: _numbers(out)[-1:] == [events.seq], within=30)
        events = _events(path, max_bytes=3000)
        events.add("info", "a", "of the next life")
        eventually(lambda: _numbers(out) == list(range(1, 43)), within=30)
    finally:
        following.terminate()
        following.wait(30)


def _numbers(out: Path) -> list[int]:
    text = out.read_text()
    return [json.loads(line)["seq"] for line in text[: text.rfind("\n") + 1].splitlines()]


def test_without_any_event_it_says_so(project: Callable[..., Project]) -> None:
    told = project(config=CONFIG, code=CODE).run("events")
    assert (told.returncode, told.stdout) == (0, "")
    assert "no event yet" in told.stderr
