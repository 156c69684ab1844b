"""Why the supervisor or a child ends, and the exit code that says so."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.system import alive, of_this_session

QUICK = FAST.replace('base = "200ms", max = "1s"', 'base = "10ms", max = "10ms"')
CRASHING = """
[tasks.crashing]
run = "crashing:tick"
every = "1h"
"""
WELL = """
[tasks.well]
run = "mine:tick"
every = "1h"
run_on_start = true
"""
CODE = NOTE + "def tick():\n    note('runs', os.getpid())\n"


def made(project: Callable[..., Project], config: str, code: str = CODE) -> Project:
    found = project(config=config, code=code)
    found.write("crashing.py", NOTE + "note('crashes', os.getpid())\nraise RuntimeError('never')\n")
    return found


def test_a_crash_loop_can_end_the_supervisor_so_that_others_see_it(project: Callable[..., Project]) -> None:
    mine = made(project, QUICK.replace("watch = false", 'watch = false\non_crash_loop = "exit"') + WELL + CRASHING)
    with mine.supervisor() as supervisor:
        assert supervisor.wait(90) == 1
        assert "stopping for good: crashing: crash loop: 10 failures" in supervisor.stderr
        assert len(mine.lines("crashes")) == 10
        assert of_this_session() == []


def test_a_crash_loop_can_give_up_the_child_alone(project: Callable[..., Project]) -> None:
    mine = made(project, QUICK.replace("watch = false", 'watch = false\non_crash_loop = "fatal"') + WELL + CRASHING)
    with mine.supervisor() as supervisor:
        child = supervisor.wait_child("crashing", lambda child: child["state"] == "fatal", within=90)
        assert child["starts"] == 10
        assert supervisor.child("well")["restarts"] == 0
        assert supervisor.stop() == 0, supervisor.stderr


def test_by_default_it_is_said_and_tried_for_ever(project: Callable[..., Project]) -> None:
    mine = made(project, QUICK + WELL + CRASHING)
    with mine.supervisor() as supervisor:
        eventually(lambda: len(mine.lines("crashes")) > 15, within=90)
        assert supervisor.stderr.count("crash loop: 10 failures") == 1, "once, not with every failure"
        assert supervisor.child("crashing")["state"] in ("starting", "backoff")
        assert supervisor.stop() == 0, supervisor.stderr


def test_a_hang_that_was_killed_long_ago_makes_no_end_unclean(project: Callable[..., Project]) -> None:
    config = FAST.replace("watch = false", 'watch = false\nheartbeat = { interval = "100ms", timeout = "2s" }') + WELL
    mine = made(project, config)
    with mine.supervisor() as supervisor:
        pid = supervisor.pid_of("well")
        os.kill(pid, signal.SIGSTOP)
        supervisor.wait_child("well", lambda child: child["ready"] and child["pid"] != pid, within=60)
        assert supervisor.stop() == 0, supervisor.stderr


def test_a_task_over_its_memory_limit_finishes_its_run_and_is_replaced(project: Callable[..., Project]) -> None:
    code = (
        NOTE
        + "hog = []\n"
        + "def tick():\n"
        + "    note('runs', os.getpid())\n"
        + "    if len(open(os.path.join(HERE, 'runs')).readlines()) == 1:\n"
        + "        hog.append(b'x' * (200 << 20))\n"
        + "        time.sleep(3)\n"
        + "    note('done', os.getpid())\n"
    )
    mine = made(project, FAST + WELL + 'max_rss = "150MiB"\n', code)
    with mine.supervisor() as supervisor:
        child = supervisor.wait_child("well", lambda child: child["starts"] == 2 and child["ready"], within=60)
        assert mine.lines("done")[0] == mine.lines("runs")[0], "the run was not cut short"
        assert child["last_exit"]["cause"] == "memory"
        assert "over its limit of 150 MiB" in child["last_exit"]["reason"]
        assert child["restarts"] == 0
        assert supervisor.stop() == 0, supervisor.stderr


@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGSEGV)", "os.abort()", "os._exit(255)"])
def test_however_a_process_ends_it_is_said_and_replaced(project: Callable[..., Project], end: str) -> None:
    code = (
        NOTE
        + "import resource\n"
        + "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        + "def tick():\n"
        + "    note('runs', os.getpid())\n"
        + "    if len(open(os.path.join(HERE, 'runs')).readlines()) == 1:\n"
        + f"        {end}\n"
    )
    mine = made(project, FAST + WELL, code)
    with mine.supervisor() as supervisor:
        child = supervisor.wait_child("well", lambda child: child["starts"] == 2 and child["ready"], within=60)
        says = {
            "os._exit(0)": "exited 0, which nobody asked for",
            "os.kill(os.getpid(), signal.SIGSEGV)": "killed by SIGSEGV",
            "os.abort()": "killed by SIGABRT",
            "os._exit(255)": "exited with 255",
        }[end]
        assert child["last_exit"]["reason"] == says
        assert child["last_exit"]["cause"] == "crash"
        if "SEGV" in end or "abort" in end:
            kept = "".join(path.read_text() for path in (supervisor.state / "crashes").glob("well-*.json"))
            assert "in tick" in kept, "faulthandler wrote where it was"


def test_an_exit_hook_and_a_thread_that_never_ends_keep_nobody(project: Callable[..., Project]) -> None:
    code = (
        NOTE
        + "import atexit, threading\n"
        + "threading.Thread(target=time.sleep, args=(600,)).start()\n"
        + "atexit.register(time.sleep, 600)\n"
        + "def tick():\n    note('runs', os.getpid())\n"
    )
    mine = made(project, FAST.replace("2s", "20s") + WELL, code)
    with mine.supervisor() as supervisor:
        pid = supervisor.pid_of("well")
        assert supervisor.stop(15) == 0, supervisor.stderr
        assert not alive(pid)
