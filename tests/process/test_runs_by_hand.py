"""Runs that somebody asks for and waits for: whatever becomes of the process, they get an answer."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import NotAnswering, Supervisor

OFF = """
[tasks.one]
run = "mine:tick"
every = "1h"
enabled = false
"""
ON = OFF.replace("enabled = false\n", "")
OTHER = """
[tasks.other]
run = "other:tick"
every = "1h"
"""
CODE = NOTE + "def tick():\n    note('runs', os.getpid())\n"
SLOW = NOTE + "def tick():\n    note('runs', os.getpid())\n    time.sleep(600)\n"


@contextmanager
def asked(supervisor: Supervisor, within: float = 60.0) -> Iterator[list[Any]]:
    """Ask for a run and wait, while the test does something else; the answer is there at the end."""
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(supervisor.request("POST", "/v1/children/one/run", {"wait": True}))
        except NotAnswering as error:
            answers.append((0, str(error)))

    thread = threading.Thread(target=ask)
    thread.start()
    yield answers
    thread.join(within)
    assert answers, "no answer"


def made(project: Callable[..., Project], config: str, code: str) -> Project:
    found = project(config=FAST + config + OTHER, code=code)
    found.write("other.py", "def tick():\n    pass\n")
    return found


@pytest.mark.parametrize("code", ["import no_such_library\n", "raise RuntimeError('no')\n", "import os\nos._exit(3)\n"])
def test_a_disabled_task_that_cannot_start_answers_with_the_reason(project: Callable[..., Project], code: str) -> None:
    mine = made(project, OFF, code)
    with mine.supervisor() as supervisor:
        supervisor.pid_of("other")
        with asked(supervisor) as answers:
            pass
        status, body = answers[0]
        assert status in (200, 409), body
        text = str(body)
        assert "no_such_library" in text or "RuntimeError" in text or "exited with 3" in text
        eventually(lambda: supervisor.child("one")["pid"] is None, within=30)
        child = supervisor.wait_child("one", lambda child: child["state"] in ("stopped", "fatal"))
        assert child["wanted"] is False, "it was for one run"
        mine.write("mine.py", CODE)
        with asked(supervisor) as answers:
            pass
        assert answers[0][1]["run"]["state"] == "ok", answers


def test_a_run_in_a_process_that_is_starting_waits_for_it(project: Callable[..., Project]) -> None:
    mine = made(project, ON, NOTE + "note('importing')\ntime.sleep(2)\n" + CODE)
    with mine.supervisor() as supervisor:
        eventually(lambda: mine.lines("importing"), within=30)
        eventually(lambda: answering(supervisor), within=30)
        with asked(supervisor) as answers:
            pass
        assert (answers[0][0], answers[0][1]["run"]["state"]) == (200, "ok")


def answering(supervisor: Supervisor) -> bool:
    try:
        return bool(supervisor.status())
    except NotAnswering:
        return False


@pytest.mark.parametrize("config", [ON, OFF], ids=["enabled", "disabled"])
def test_a_process_that_dies_in_the_run_answers(project: Callable[..., Project], config: str) -> None:
    mine = made(project, config, SLOW)
    with mine.supervisor() as supervisor:
        supervisor.pid_of("other")
        with asked(supervisor) as answers:
            (pid,) = eventually(lambda: mine.lines("runs"), within=30)
            os.kill(int(pid), signal.SIGKILL)
        assert answers[0][0] == 200
        assert answers[0][1]["run"]["state"] == "lost"
        assert "SIGKILL" in answers[0][1]["run"]["error"]


def test_a_stop_answers_too(project: Callable[..., Project]) -> None:
    mine = made(project, ON, SLOW)
    with mine.supervisor() as supervisor:
        supervisor.pid_of("one")
        with asked(supervisor) as answers:
            eventually(lambda: mine.lines("runs"), within=30)
            begun = time.monotonic()
            supervisor.stop()
            assert time.monotonic() - begun < 30
        assert answers[0][0] in (0, 200), "an answer, or the end of the connection"


def test_a_client_that_leaves_takes_nothing_along(project: Callable[..., Project]) -> None:
    mine = made(project, ON, CODE.replace("note('runs", "time.sleep(1)\n    note('runs"))
    with mine.supervisor() as supervisor:
        one = supervisor.pid_of("one")
        command = supervisor.cli("run", "one", timeout=60)
        assert command.returncode == 0, command.stderr
        import socket

        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(supervisor.state / "ctl.sock"))
            body = '{"wait": true}'
            client.sendall(
                f"POST /v1/children/one/run HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )
        eventually(lambda: len(mine.lines("runs")) == 2, within=30)
        assert supervisor.pid_of("one") == one
        assert supervisor.stop() == 0, supervisor.stderr


def test_runs_that_are_asked_for_together_come_one_after_the_other(project: Callable[..., Project]) -> None:
    mine = made(project, ON, NOTE + "def tick():\n    note('begin')\n    time.sleep(0.3)\n    note('end')\n")
    with mine.supervisor() as supervisor:
        supervisor.pid_of("one")
        with asked(supervisor) as first, asked(supervisor) as second, asked(supervisor) as third:
            pass
        assert [answers[0][1]["run"]["state"] for answers in (first, second, third)] == ["ok"] * 3
        assert len({answers[0][1]["run"]["id"] for answers in (first, second, third)}) == 3
        assert len(mine.lines("end")) == 3
