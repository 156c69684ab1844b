"""How a start goes when something is in its way: streams that are closed, leftovers of others, a rival, a hand that
removes what it needs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import DIES_WITH_PYTEST, Supervisor
from support.system import alive, of_this_session, title

TASK = """
[tasks.one]
run = "mine:tick"
every = "1h"
run_on_start = true
"""
CODE = NOTE + "def tick():\n    print('hello')\n    note('runs', os.getpid())\n"


@pytest.fixture
def made(project: Callable[..., Project]) -> Project:
    return project(config=FAST + TASK, code=CODE)


# P11: the standard streams.

CLOSED = ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"]


@pytest.mark.parametrize("closed", CLOSED)
def test_it_starts_and_stops_with_closed_streams(made: Project, closed: str) -> None:
    """Whatever opens next takes the number that was closed, and would be written to."""
    command = " ".join([*DIES_WITH_PYTEST, sys.executable, "-m", "supervisor", "start", "--config", str(made.config)])
    supervisor = Supervisor(made.config)
    supervisor._process = subprocess.Popen(
        ["sh", "-c", f"exec {command} {closed}"], cwd=made.folder, start_new_session=True
    )
    supervisor._output("stderr").write_text("")
    try:
        supervisor.wait_ready()
        eventually(lambda: made.lines("runs"), within=30)
        assert b"hello" in (made.state / "logs" / "one.log").read_bytes()
        events = [json.loads(line) for line in (made.state / "logs" / "supervisor.log").read_text().splitlines()]
        assert {"started", "ready"} <= {event.get("event") for event in events}
        os.kill(supervisor.pid_of("one"), signal.SIGKILL)
        eventually(lambda: len(made.lines("runs")) == 2, within=30)
        assert supervisor.stop() == 0
    finally:
        supervisor.clean()
    for name in ("lock", "journal"):
        assert b"hello" not in (made.state / name).read_bytes(), "what was printed went where it belongs"


def test_a_reader_that_leaves_after_the_first_line_ends_nothing(made: Project) -> None:
    """`supervisor start 2>&1 | head -1`"""
    supervisor = Supervisor(made.config)
    command = [*DIES_WITH_PYTEST, sys.executable, "-m", "supervisor", "start", "--config", str(made.config)]
    read, write = os.pipe()
    supervisor._process = subprocess.Popen(command, cwd=made.folder, stdout=write, stderr=write, start_new_session=True)
    supervisor._output("stderr").write_text("")
    os.close(write)
    try:
        with open(read) as reader:
            assert reader.readline()
        supervisor.wait_ready()
        os.kill(supervisor.pid_of("one"), signal.SIGKILL)
        eventually(lambda: len(made.lines("runs")) == 2, within=30)
        assert supervisor.stop() == 0
    finally:
        supervisor.clean()


def test_a_working_folder_that_is_gone_ends_nothing(made: Project, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    supervisor = Supervisor(made.config)
    command = [*DIES_WITH_PYTEST, sys.executable, "-m", "supervisor", "start", "--config", str(made.config)]
    with open(supervisor._output("stderr"), "wb") as err:
        supervisor._process = subprocess.Popen(
            ["sh", "-c", f"rmdir {gone}; exec {' '.join(command)}"], cwd=gone, stderr=err, start_new_session=True
        )
    try:
        supervisor.wait_ready()
        assert supervisor.stop() == 0, supervisor.stderr
    finally:
        supervisor.clean()


# P19, P20: leftovers and rivals.


def test_a_stale_lock_and_socket_and_a_pid_that_is_an_innocents_are_no_hindrance(made: Project) -> None:
    innocent = subprocess.Popen(["sleep", "600"])
    try:
        made.state.mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(made.state / "ctl.sock"))
        about = {
            "pid": innocent.pid,
            "run_id": "0" * 32,
            "since": "2026-01-01T00:00:00Z",
            "socket": None,
            "unswept": [],
        }
        (made.state / "lock").write_text(json.dumps(about))
        with made.supervisor() as supervisor:
            supervisor.wait_ready()
            assert innocent.poll() is None
            assert supervisor.stop() == 0, supervisor.stderr
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"unswept": 5}', '{"run_id": {}, "unswept": [[], 3]}', "x" * 100_000, "[" * 5000]
)
def test_whatever_stands_in_the_lock_file_is_no_hindrance(made: Project, text: str) -> None:
    made.state.mkdir(mode=0o700)
    (made.state / "lock").write_text(text)
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        assert supervisor.stop() == 0, supervisor.stderr


def test_of_many_that_start_at_once_one_lives_and_the_others_say_so(made: Project) -> None:
    for _ in range(7):
        rivals = [Supervisor(made.config) for _ in range(3)]
        for number, rival in enumerate(rivals):
            rival._starts = 10 * number  # files of their own for what they say
            rival.start()
        try:
            eventually(lambda rivals=rivals: sum(rival.running for rival in rivals) == 1, within=60)
            (winner,) = (rival for rival in rivals if rival.running)
            for rival in rivals:
                if rival is not winner:
                    assert rival.process.returncode == 1
                    assert "already running" in rival.stderr
            winner.wait_ready()
            assert winner.status()["supervisor"]["pid"] == winner.pid
            assert len(of_this_session("forkwarden: one")) == 1
            assert winner.stop() == 0, winner.stderr
        finally:
            for rival in rivals:
                rival.clean()


# P21: a hand that removes what it needs.


@pytest.mark.parametrize(
    "what", ["ctl.sock", "lock", "logs", "crashes", "history", ""], ids=lambda what: what or "all of it"
)
def test_what_is_removed_of_the_state_folder_is_made_again(made: Project, what: str) -> None:
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        eventually(lambda: made.lines("runs"), within=30)
        target = made.state / what
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        eventually(lambda: (made.state / "ctl.sock").exists() and (made.state / "lock").exists(), within=30)
        if what in ("lock", ""):  # the whole folder, as far as we can tell: the child's files are in none any more
            supervisor.wait_child("one", lambda child: child["ready"] and child["pid"] != pid)
        assert supervisor.child("one")["restarts"] == 0
        second = made.run("start")
        assert second.returncode == 1
        assert "already running" in second.stderr
        pid = supervisor.pid_of("one")
        os.kill(pid, signal.SIGKILL)
        supervisor.wait_child("one", lambda child: child["ready"] and child["pid"] != pid)
        assert supervisor.stop() == 0, supervisor.stderr


def test_who_loses_its_lock_file_to_another_leaves(made: Project) -> None:
    """Two that believe to be alone must never go on: the one whose file was replaced gives up."""
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        os.kill(supervisor.pid, signal.SIGSTOP)
        (made.state / "lock").unlink()
        second = Supervisor(made.config)
        second._starts = 10
        second.start()
        try:
            eventually(lambda: second.running and (made.state / "lock").exists(), within=30)
            second.wait_ready()
            os.kill(supervisor.pid, signal.SIGCONT)
            assert supervisor.wait(30) in (0, 1)
            assert "another supervisor has taken the lock" in supervisor.stderr
            assert not alive(pid)
            second.wait_ready()
            assert second.status()["supervisor"]["pid"] == second.pid
            assert second.stop() == 0, second.stderr
        finally:
            second.clean()


def test_the_inside_of_the_supervisor_says_how_it_is_started(made: Project) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "supervisor.parent"], cwd=made.folder, capture_output=True, text=True, check=False
    )
    assert said.returncode in (1, 2)
    assert "start it by: supervisor start" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_reload_that_comes_too_early_ends_nothing(made: Project) -> None:
    """SIGHUP kills a program that has no handler yet."""
    with made.supervisor() as supervisor:
        eventually(lambda: "supervisor.parent" in title(supervisor.pid), within=30, every=0.001)
        while not (made.state / "ctl.sock").exists():
            supervisor.process.send_signal(signal.SIGHUP)
            time.sleep(0.002)
        supervisor.wait_ready()
        assert supervisor.stop() == 0, supervisor.stderr


def test_a_signal_at_any_moment_of_the_start_leaves_nothing(made: Project) -> None:
    for delay in (0.05, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8):
        with made.supervisor() as supervisor:
            time.sleep(delay)
            supervisor.terminate()
            assert supervisor.wait() in (0, -signal.SIGTERM), supervisor.stderr
        eventually(lambda: of_this_session() == [], within=30)


def test_a_file_of_the_project_that_is_called_as_a_module_of_pythons_is_not_the_supervisors(made: Project) -> None:
    """`start` runs in the project's folder: the supervisor would import it, and die of it with all children."""
    for name in ("logging", "selectors", "h11"):
        made.write(f"{name}.py", "raise SystemExit('a file of the project was imported')\n")
    # -P for the command's own interpreter: an installed `supervisor` has no working folder in its path
    command = [*DIES_WITH_PYTEST, sys.executable, "-P", "-m", "supervisor", "start", "--config", str(made.config)]
    supervisor = Supervisor(made.config)
    supervisor._process = subprocess.Popen(command, cwd=made.folder, stderr=subprocess.DEVNULL, start_new_session=True)
    supervisor._output("stderr").write_text("")
    try:
        supervisor.wait_ready()
        eventually(lambda: made.lines("runs"), within=30)
        assert supervisor.stop() == 0
    finally:
        supervisor.clean()
