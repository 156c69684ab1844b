"""What comes in one and the same turn of the loop: the last word counts, and one process is forked for it."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor
from support.system import of_this_session, state

CONFIG = (
    FAST
    + """
[tasks.one]
run = "mine:tick"
every = "1h"
enabled = false

[tasks.other]
run = "mine:tick"
every = "1h"
"""
)
CODE = NOTE + "note('starts', os.getpid())\ndef tick():\n    pass\n"


def started(supervisor: Supervisor) -> int:
    """How often a process of `one` was forked, by what was said at the fork itself."""
    lines = [json.loads(line) for line in supervisor.stderr.splitlines() if line.startswith("{")]
    return sum(line["child"] == "one" and line.get("event") == "started" for line in lines)


def at_once(supervisor: Supervisor, *verbs: str) -> None:
    """Have these commands lie in front of the supervisor when it wakes, in this order."""
    with ExitStack() as stack:
        os.kill(supervisor.pid, signal.SIGSTOP)
        eventually(lambda: state(supervisor.pid) == "T", within=30)
        clients = []
        for verb in verbs:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(60)
            client.connect(str(supervisor.state / "ctl.sock"))
            body = json.dumps({})
            head = f"POST /v1/children/one/{verb} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            client.sendall(head.encode())
            clients.append(client)
        os.kill(supervisor.pid, signal.SIGCONT)
        for client in clients:
            assert client.recv(65536).startswith(b"HTTP/1.1 20")


@pytest.mark.parametrize(
    ("verbs", "alive"),
    [
        (("enable", "disable", "enable"), 1),
        (("enable", "disable", "enable", "disable", "enable", "restart"), 1),
        (("enable", "restart", "restart"), 1),
        (("enable", "disable"), 0),
    ],
)
def test_commands_of_one_turn_make_one_process_or_none(
    project: Callable[..., Project], verbs: tuple[str, ...], alive: int
) -> None:
    made = project(config=CONFIG, code=CODE)
    with made.supervisor() as supervisor:
        supervisor.pid_of("other")
        at_once(supervisor, *verbs)
        supervisor.wait_child(
            "one", lambda child: child["ready"] == bool(alive) and child["state"] in ("running", "stopped")
        )
        time.sleep(0.5)  # a second one would show itself by now
        assert len(of_this_session("forkwarden: one")) == alive
        assert started(supervisor) == supervisor.child("one")["starts"] <= len(verbs)
        assert supervisor.stop() == 0, supervisor.stderr


def test_the_end_of_a_process_and_the_word_to_start_it_anew_make_one(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG.replace("enabled = false\n", ""), code=CODE)
    with made.supervisor() as supervisor:
        for _ in range(3):
            one = supervisor.pid_of("one")
            starts = supervisor.child("one")["starts"]
            os.kill(supervisor.pid, signal.SIGSTOP)
            os.kill(one, signal.SIGKILL)
            at_once(supervisor, "restart", "disable", "enable")
            supervisor.wait_child("one", lambda child, one=one: child["ready"] and child["pid"] != one)
            time.sleep(0.3)
            assert len(of_this_session("forkwarden: one")) == 1
            assert started(supervisor) == supervisor.child("one")["starts"] <= starts + 2
        assert supervisor.stop() == 0, supervisor.stderr
