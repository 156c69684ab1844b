"""`supervisor stack`: what a living child does, said by itself, as often as one likes, and without harm."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor

OFTEN = 300
CONFIG = (
    FAST
    + """
heartbeat = { interval = "200ms", timeout = "30s" }

[tasks.busy]
run = "mine:busy"
every = "1h"
run_on_start = true

[tasks.deep]
run = "mine:deep"
every = "1h"
run_on_start = true

[tasks.off]
run = "mine:busy"
every = "1h"
enabled = false
"""
)
CODE = (
    NOTE
    + """
import sys
import threading


def busy():
    threading.Thread(target=helper, name="helper \\x1b[31m", daemon=True).start()
    note("busy")
    while True:
        spin(50)


def spin(depth):
    return depth if depth == 0 else spin(depth - 1)


def helper():
    while True:
        spin(20)


def deep(depth=0):
    sys.setrecursionlimit(10_000)
    if depth < 5000:
        return deep(depth + 1)
    threads = [threading.Thread(target=sleep_well, daemon=True) for _ in range(50)]
    for thread in threads:
        thread.start()
    note("deep")
    time.sleep(600)


def sleep_well(depth=0):
    if depth == 40:
        time.sleep(600)
    sleep_deep(depth)


def sleep_deep(depth):
    sleep_well(depth + 1)
"""
)


def _stack(supervisor: Supervisor, name: str) -> str:
    code, body = supervisor.request("GET", f"/v1/children/{name}/stack")
    assert code == 200, body
    return str(body["stacks"][name])


def test_hundreds_of_times_in_a_row_a_busy_child_is_asked_and_goes_on(project: Callable[..., Project]) -> None:
    """faulthandler's dump of all threads crashed such a process within a few tries."""
    made = project(config=CONFIG, code=CODE)
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("busy")
        eventually(lambda: made.lines("busy"), within=30)
        for _ in range(OFTEN):
            assert "in busy\n" in _stack(supervisor, "busy")
        child = supervisor.child("busy")
        assert (child["pid"], child["restarts"], child["dropped_frames"]) == (pid, 0, 0)


def test_the_command_shows_every_thread_and_nothing_raw(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code=CODE)
    with made.supervisor() as supervisor:
        eventually(lambda: made.lines("busy"), within=30)
        told = supervisor.cli("stack", "busy")
        assert told.returncode == 0, told.stderr
        assert "thread MainThread:" in told.stdout
        assert "thread helper \\x1b[31m:" in told.stdout
        assert "in helper" in told.stdout
        assert "\x1b" not in told.stdout
        assert '"busy"' in supervisor.cli("stack", "busy", "--json").stdout


def test_stacks_without_end_are_cut_and_asked_for_by_several_at_once(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code=CODE)
    with made.supervisor() as supervisor:
        eventually(lambda: made.lines("deep"), within=30)
        found: list[str] = []
        threads = [threading.Thread(target=lambda: found.append(_stack(supervisor, "deep"))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4
        assert all("in deep" in text and text.endswith("…(cut)\n") for text in found)
        assert supervisor.child("deep")["restarts"] == 0


def test_a_child_that_cannot_answer_is_said_to_be_stopped_and_one_without_process_to_have_none(
    project: Callable[..., Project],
) -> None:
    made = project(config=CONFIG, code=CODE)
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("busy")
        os.kill(pid, signal.SIGSTOP)
        code, body = supervisor.request("GET", "/v1/children/busy/stack")
        assert code == 504
        assert body["error"].startswith("busy did not answer within 2 s")
        assert "supervisor report busy" in body["suggestion"]
        assert supervisor.status()["supervisor"]["state"] == "running"
        os.kill(pid, signal.SIGCONT)
        assert "in busy" in eventually(lambda: _stack(supervisor, "busy"), within=30)
        told = supervisor.cli("stack", "off")
        assert told.returncode == 1
        assert "off has no process: it is stopped" in told.stderr
