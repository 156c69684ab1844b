"""Hostile children, clients, records of the log: the supervisor answers, does not grow, and obeys nobody."""

from __future__ import annotations

import os
import pickle
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor, connected
from support.system import descriptors, rss

CONFIG = (
    FAST
    + """
[tasks.hostile]
run = "mine:tick"
every = "1h"
run_on_start = true

[tasks.good]
run = "mine:good"
every = "1h"
"""
)
# Every pipe of the child that can be written leads to the supervisor (or is its log).
HEAD = (
    NOTE
    + """
import pickle, stat


def good():
    pass


def pipes():
    found = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode) and os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:"):
                found.append(fd)
        except OSError:
            pass
    return found


def say(data, times=1):
    note("said", len(pipes()))
    for fd in pipes():
        os.set_blocking(fd, False)
    for fd in pipes():
        for _ in range(times):
            try:
                os.write(fd, data)
            except OSError:
                break


class Evil:
    def __reduce__(self):
        return (os.system, (f"touch {HERE}/owned",))

"""
)
SAID = {
    "noise": "def tick():\n    say(os.urandom(4096), 1000)\n    time.sleep(600)\n",
    "a pickle": "def tick():\n    say(pickle.dumps(Evil()))\n    time.sleep(600)\n",
    "a framed pickle": (
        "def tick():\n"
        "    body = pickle.dumps(Evil())\n"
        "    say(len(body).to_bytes(4, 'big') + body, 100)\n"
        "    time.sleep(600)\n"
    ),
    "a frame that never ends": "def tick():\n    say(b'\\0\\0\\x0f\\0' + b'x' * 100)\n    time.sleep(600)\n",
    "a length of gigabytes": "def tick():\n    say(b'\\x7f\\xff\\xff\\xff' + b'x' * 100)\n    time.sleep(600)\n",
    "an endless flood": 'def tick():\n    while True:\n        say(b\'\\0\\0\\0\\x0d{"t":"ready"}\', 1000)\n',
    "facts without end": (
        "import itertools\n"
        "def tick():\n"
        "    for n in itertools.count():\n"
        '        body = (\'{"t":"facts","facts":{"k%d":"%s"}}\' % (n, \'x\' * 3000)).encode()\n'
        "        say(len(body).to_bytes(4, 'big') + body)\n"
    ),
    "deep nesting": (
        "def tick():\n    body = b'[' * 4000\n    say(len(body).to_bytes(4, 'big') + body, 10)\n    time.sleep(600)\n"
    ),
    "an endless line": "def tick():\n    while True:\n        os.write(1, b'x' * 65536)\n",
    "escapes": (
        "def tick():\n"
        "    print('\\x1b]0;owned\\x07\\x1b[2J' * 100, flush=True)\n"
        "    note('said')\n"
        "    time.sleep(600)\n"
    ),
}


@pytest.mark.parametrize("what", SAID)
def test_a_hostile_child_harms_nobody(project: Callable[..., Project], what: str) -> None:
    made = project(config=CONFIG, code=HEAD + SAID[what])
    with made.supervisor() as supervisor:
        supervisor.pid_of("good")
        if what != "an endless line":
            eventually(lambda: made.lines("said"), within=30)
        before = rss(supervisor.pid)
        answers(supervisor, times=30)
        assert rss(supervisor.pid) - before < 20 * 2**20
        assert supervisor.child("good")["restarts"] == 0
        assert not (made.folder / "owned").exists()
        supervisor.stop()
        assert "Traceback" not in supervisor.stderr


def answers(supervisor: Supervisor, times: int = 1) -> None:
    for _ in range(times):
        assert supervisor.status()["supervisor"]["state"] == "running"
        time.sleep(0.05)  # the hostile child gets its turns; nothing is waited for


def connect(supervisor: Supervisor) -> socket.socket:
    return connected(str(supervisor.state / "ctl.sock"))


def sent(client: socket.socket, data: bytes) -> None:
    """Send what the server takes; it may hang up in the middle."""
    try:
        client.sendall(data)
    except OSError:
        pass


REQUESTS = {
    "noise": os.urandom(10_000),
    "a pickle": pickle.dumps(print),
    "half a request": b"GET /v1/sta",
    "no end of headers": b"GET /v1/status HTTP/1.1\r\n" + b"X: y\r\n" * 100_000,
    "a long path": b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "300 MB announced": b"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 300000000\r\n\r\n" + b"x" * 5_000_000,
    "a negative length": b"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "deep json": b"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" + b"[" * 60_000,
    "not json": b"POST /v1/children/good/disable HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{x}",
    "another verb": b"DELETE /v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path of another place": b"GET /v1/children/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
}


def test_hostile_clients_are_refused_and_others_answered(project: Callable[..., Project]) -> None:
    with project(config=CONFIG, code=HEAD + "def tick():\n    pass\n").supervisor() as supervisor:
        supervisor.wait_ready()
        answers(supervisor, times=5)
        before, open_before = rss(supervisor.pid), descriptors(supervisor.pid)
        for data in REQUESTS.values():
            with connect(supervisor) as client:
                sent(client, data)
                answers(supervisor)
        eventually(lambda: descriptors(supervisor.pid) <= open_before, within=20)
        assert rss(supervisor.pid) - before < 20 * 2**20
        assert supervisor.child("good")["restarts"] == 0
        assert supervisor.child("good")["wanted"]


def test_two_hundred_idle_clients_keep_nobody_out(project: Callable[..., Project]) -> None:
    with project(config=CONFIG, code=HEAD + "def tick():\n    pass\n").supervisor() as supervisor, ExitStack() as stack:
        supervisor.wait_ready()
        for _ in range(200):
            stack.enter_context(connect(supervisor))
        answers(supervisor, times=5)
        assert supervisor.cli("status").returncode == 0


def test_what_is_shown_of_a_child_cannot_steer_a_terminal(project: Callable[..., Project]) -> None:
    code = NOTE + "def good(): pass\nraise RuntimeError('\\x1b]0;owned\\x07 \\x1b[2J \\u202e')\n"
    with project(config=CONFIG, code=code).supervisor() as supervisor:
        supervisor.wait_child("hostile", lambda child: child["restarts"] >= 1)
        for command in ("status", "explain", "logs"):
            said = supervisor.cli(command, "hostile")
            shown = said.stdout + said.stderr
            assert "\x1b" not in shown, command
            assert "\u202e" not in shown, command
        assert "\x1b" not in supervisor.stderr


def test_only_the_owner_reaches_the_socket_and_no_port_is_open(project: Callable[..., Project]) -> None:
    with project(config=CONFIG, code=HEAD + "def tick():\n    pass\n").supervisor() as supervisor:
        supervisor.wait_ready()
        assert supervisor.state.stat().st_mode & 0o077 == 0
        assert (supervisor.state / "ctl.sock").stat().st_mode & 0o077 == 0
        links = [os.readlink(entry) for entry in Path(f"/proc/{supervisor.pid}/fd").iterdir()]
        inodes = {link[8:-1] for link in links if link.startswith("socket:")}
        tcp = [
            line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        ]
        assert not [fields for fields in tcp if fields[9] in inodes]
