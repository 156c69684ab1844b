"""What a child prints and logs: its own file takes everything, the supervisor's stderr what does not block."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import DIES_WITH_PYTEST, Supervisor

TASK = """
[tasks.one]
run = "mine:tick"
every = "1h"
run_on_start = true
"""
HEAD = NOTE + "import logging\nimport sys\n\nlog = logging.getLogger('mine')\n\n"


def made(project: Callable[..., Project], body: str, config: str = FAST + TASK) -> Project:
    code = HEAD + "def tick():\n" + "".join(f"    {line}\n" for line in body.splitlines()) + "    note('done')\n"
    return project(config=config, code=code)


def log(supervisor: Supervisor, number: str = "") -> bytes:
    try:
        return (supervisor.state / "logs" / f"one.log{number}").read_bytes()
    except FileNotFoundError:
        return b""


def events(supervisor: Supervisor) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log(supervisor).splitlines() if line.startswith(b"{")]


def done(project: Project, within: float = 60.0) -> None:
    eventually(lambda: project.lines("done"), within=within)


def test_prints_go_to_the_file_as_they_are_and_log_lines_as_one_object_each(project: Callable[..., Project]) -> None:
    mine = made(
        project,
        "print('plain')\nprint('to stderr', file=sys.stderr)\n"
        "log.warning('two\\nlines \\x1b[2J')\nos.write(1, b'raw\\n')",
    )
    with mine.supervisor() as supervisor:
        done(mine)
        text = log(supervisor)
        for line in (b"plain", b"to stderr", b"raw"):
            assert line in text.splitlines()
        (event,) = [event for event in events(supervisor) if event["level"] == "warning"]
        assert event["text"] == "two\nlines \x1b[2J"
        assert event["child"] == "one"
        assert event["pid"] == supervisor.pid_of("one")
        assert event["time"].endswith("Z")
        assert "two\\nlines" in supervisor.stderr
        assert "\x1b" not in supervisor.stderr
        assert "plain" not in supervisor.stderr, "prints are the file's alone"


def test_binary_no_newline_and_much_harm_nobody(project: Callable[..., Project]) -> None:
    body = (
        "os.write(1, bytes(range(256)) * 4096)\n"
        "sys.stdout.write('no newline ' * 100_000)\n"
        "print('\\ud800 surrogate')\n"
        "log.info('x' * 1_000_000)\n"
    )
    mine = made(project, body)
    with mine.supervisor() as supervisor:
        done(mine)
        child = supervisor.wait_child("one", lambda child: child.get("last_run"))
        assert child["last_run"]["state"] == "ok"
        assert child["restarts"] == 0
        assert len(log(supervisor)) > 2_000_000
        assert supervisor.cli("logs", "one").returncode == 0
        assert max(map(len, supervisor.stderr.splitlines())) < 4096, "a longer line may block a pipe half way"


def test_a_log_call_that_is_wrong_costs_a_line_and_no_run(project: Callable[..., Project]) -> None:
    body = (
        "class Bad:\n"
        "    def __str__(self): raise RuntimeError('no text')\n"
        "    __repr__ = __str__\n"
        "log.error('%d', 'no number')\n"
        "log.error('%s', Bad())\n"
        "log.error(Bad())\n"
        "log.error('fine', extra={'event': Bad()})\n"
        "log.error('%s %s', 'too few')\n"
    )
    mine = made(project, body)
    with mine.supervisor() as supervisor:
        done(mine)
        child = supervisor.wait_child("one", lambda child: child.get("last_run"))
        assert child["last_run"]["state"] == "ok"
        assert b"cannot be made" in log(supervisor)
        assert b"mine.py" in log(supervisor)


def test_an_exception_that_is_logged_keeps_its_traceback_in_the_same_line(project: Callable[..., Project]) -> None:
    mine = made(project, "try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('no')")
    with mine.supervisor() as supervisor:
        done(mine)
        (event,) = [event for event in events(supervisor) if event["text"] == "no"]
        assert "ZeroDivisionError" in event["traceback"]
        assert "mine.py" in event["traceback"]


@pytest.mark.parametrize("keep", [1, 2])
def test_the_file_is_rotated_by_size_and_nothing_is_lost_meanwhile(project: Callable[..., Project], keep: int) -> None:
    config = FAST + f'log_max_bytes = "64KiB"\nlog_keep = {keep}\nheartbeat = {{ interval = "100ms" }}\n' + TASK
    body = "for number in range(60):\n    os.write(1, (f'{number:04} ' * 1000 + '\\n').encode())\n    time.sleep(0.05)"
    mine = made(project, body, config)
    with mine.supervisor() as supervisor:
        done(mine)
        eventually(lambda: len(log(supervisor)) < 80_000, within=30)
        names = sorted(path.name for path in (supervisor.state / "logs").glob("one.log*"))
        assert names == ["one.log", "one.log.1", "one.log.2"][: keep + 1]
        for path in (supervisor.state / "logs").glob("one.log*"):
            assert path.stat().st_mode & 0o777 == 0o600
        os.kill(supervisor.pid_of("one"), signal.SIGKILL)
        eventually(lambda: len(mine.lines("done")) == 2, within=60)


def test_a_flood_between_two_looks_leaves_its_end_and_says_how_much_is_missing(
    project: Callable[..., Project],
) -> None:
    config = FAST + 'log_max_bytes = "64KiB"\nlog_keep = 1\nheartbeat = { interval = "300ms" }\n' + TASK
    body = "for number in range(4000):\n    os.write(1, (f'{number:04} ' + 'x' * 8000 + '\\n').encode())"
    mine = made(project, body, config)
    with mine.supervisor() as supervisor:
        done(mine)
        eventually(lambda: b"bytes are left out here" in log(supervisor, ".1")[:100], within=30)
        assert b"\n3999 " in log(supervisor, ".1") + log(supervisor)
        eventually(lambda: len(log(supervisor)) + len(log(supervisor, ".1")) < 4 * 65536, within=30)


def test_a_log_that_somebody_removes_or_replaces_ends_nothing(project: Callable[..., Project]) -> None:
    config = FAST + 'log_max_bytes = "64KiB"\nlog_keep = 1\nheartbeat = { interval = "100ms" }\n' + TASK
    mine = made(project, "for _ in range(40):\n    print('x' * 5000)\n    time.sleep(0.05)", config)
    with mine.supervisor() as supervisor:
        supervisor.wait_ready()
        logs = supervisor.state / "logs"
        (logs / "one.log").unlink(missing_ok=True)
        (logs / "one.log.1").mkdir(exist_ok=True)
        done(mine)
        assert supervisor.child("one")["restarts"] == 0


# The supervisor's stderr is a pipe that others read, or do not.


def piped(mine: Project, *, size: int = 4096) -> tuple[Supervisor, int]:
    """Start the supervisor with a pipe as its stderr. Returns it, and the end to read."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, size)
    supervisor = Supervisor(mine.config)
    command = [*DIES_WITH_PYTEST, sys.executable, "-m", "supervisor", "start", "--config", str(mine.config)]
    supervisor._process = subprocess.Popen(
        command, cwd=mine.folder, stdin=subprocess.DEVNULL, stdout=write, stderr=write, start_new_session=True
    )
    supervisor._output("stderr").write_text("")
    os.close(write)
    return supervisor, read


NOISE = "for number in range(3000):\n    log.info('%d \\u20ac %s', number, '\\u20ac' * 500)"


def test_a_reader_that_has_stopped_keeps_no_child_waiting(project: Callable[..., Project]) -> None:
    """Eight children write as fast as they can into one pipe of 4 KiB that nobody reads."""
    tasks = "".join(f'\n[tasks.t{n}]\nrun = "mine:tick"\nevery = "1h"\nrun_on_start = true\n' for n in range(8))
    mine = made(project, NOISE, FAST + tasks)
    supervisor, read = piped(mine)
    try:
        supervisor.wait_ready()
        eventually(lambda: len(mine.lines("done")) == 8, within=120)
        for n in range(8):
            child = supervisor.wait_child(f"t{n}", lambda child: child.get("last_run"))
            assert (child["last_run"]["state"], child["restarts"]) == ("ok", 0)
        assert supervisor.stop() == 0
    finally:
        os.close(read)
        supervisor.clean()


def test_a_reader_that_left_ends_nobody(project: Callable[..., Project]) -> None:
    mine = made(project, NOISE)
    supervisor, read = piped(mine)
    try:
        os.read(read, 10)
        os.close(read)
        done(mine)
        child = supervisor.wait_child("one", lambda child: child.get("last_run"))
        assert (child["last_run"]["state"], child["restarts"]) == ("ok", 0)
        assert supervisor.stop() == 0
    finally:
        supervisor.clean()


def test_a_slow_reader_gets_whole_lines_and_hears_how_many_are_missing(project: Callable[..., Project]) -> None:
    mine = made(project, NOISE.replace("3000", "300"))
    supervisor, read = piped(mine, size=65536)
    data = b""
    try:
        done(mine)
        supervisor.terminate()
        time.sleep(0.2)  # a reader that is busy elsewhere
        while piece := os.read(read, 65536):
            data += piece
        assert supervisor.wait() == 0
    finally:
        os.close(read)
        supervisor.clean()
    lines = data.decode().splitlines()
    assert data.endswith(b"\n")
    assert all((line.startswith("{") and line.endswith("}")) or "lines dropped" in line for line in lines)


def test_the_file_has_every_line_although_the_pipe_took_few(project: Callable[..., Project], tmp_path: Path) -> None:
    mine = made(project, NOISE.replace("3000", "500"))
    supervisor, read = piped(mine)
    try:
        done(mine)
        numbers = [int(event["text"].split()[0]) for event in events(supervisor) if "\u20ac" in event["text"]]
        assert numbers == list(range(500))
    finally:
        os.close(read)
        supervisor.clean()
