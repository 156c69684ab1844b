"""On any mistake the old configuration stays in force, and every mistake is shown with its line."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from support.project import FAST, NOTE, Project

CONFIG = (
    FAST
    + """
[tasks.one]
run = "mine:tick"
every = "1h"
"""
)
CODE = NOTE + "def tick():\n    pass\n"
BROKEN = {
    "not toml": CONFIG + "[tasks.two\n",
    "an unknown key": CONFIG.replace("every", "evry"),
    "a wrong value": CONFIG.replace('"1h"', '"30 parsecs"'),
    "no trigger": CONFIG.replace('every = "1h"', ""),
    "empty but for nonsense": "\0\0\0",
    "not utf-8": "binary",
    "huge": "# " + "x" * 2_000_000,
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_broken_file_changes_nothing(project: Callable[..., Project], mistake: str) -> None:
    made = project(config=CONFIG, code=CODE)
    with made.supervisor() as supervisor:
        before = supervisor.pid_of("one")
        made.configure(BROKEN[mistake])
        if mistake == "not utf-8":
            made.config.write_bytes(b"\xff\xfe" + CONFIG.encode())
        reloaded = supervisor.cli("reload")
        if mistake != "huge":  # valid, it only says that nothing is wanted any more
            assert reloaded.returncode == 2, reloaded
            assert "config.toml:" in reloaded.stderr
            assert supervisor.child("one")["pid"] == before
            os.kill(before, signal.SIGKILL)
            assert supervisor.wait_child("one", lambda child: child["ready"] and child["pid"] != before)
        assert supervisor.running


def test_sighup_reloads_and_survives_a_broken_file(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code=CODE)
    with made.supervisor() as supervisor:
        before = supervisor.pid_of("one")
        made.configure(BROKEN["a wrong value"])
        supervisor.process.send_signal(signal.SIGHUP)
        supervisor.wait_child("one", lambda child: supervisor.status()["supervisor"]["config"]["problems"])
        assert supervisor.child("one")["pid"] == before
        made.configure(CONFIG + '\n[tasks.two]\nrun = "mine:tick"\nevery = "1h"\n')
        supervisor.process.send_signal(signal.SIGHUP)
        supervisor.wait_child("one", lambda child: len(supervisor.status()["children"]) == 2)
        supervisor.wait_child("two", lambda child: child["ready"])
        assert supervisor.child("one")["pid"] == before
        assert not supervisor.status()["supervisor"]["config"]["problems"]


def test_all_mistakes_are_shown_at_once(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code=CODE)
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        made.configure(CONFIG.replace('"1h"', '"30 parsecs"') + 'tiemout = "5s"\n')
        said = supervisor.cli("reload").stderr
        assert "30 parsecs" in said
        assert "did you mean" in said
        assert "timeout" in said


def test_a_file_that_disappears_takes_nothing_down(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG.replace("watch = false", "watch = true"), code=CODE)
    with made.supervisor() as supervisor:
        before = supervisor.pid_of("one")
        made.config.unlink()
        assert supervisor.cli("reload").returncode != 0
        assert supervisor.child("one")["pid"] == before


def test_a_supervisor_does_not_start_on_a_broken_file(project: Callable[..., Project]) -> None:
    made = project(config=BROKEN["an unknown key"], code=CODE)
    started = made.run("start")
    assert started.returncode == 2
    assert "evry" in started.stderr
    assert "Traceback" not in started.stderr
