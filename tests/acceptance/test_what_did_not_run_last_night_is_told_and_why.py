"""Each way for a slot not to run, made for real: `history --missed` has its record, `explain` says why in words."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from supervisor.child.schedule.ledger import Ledger
from supervisor.core.schedule.slots import Every
from support.eventually import eventually
from support.project import FAST, NOTE, Project

TASK = '[tasks.{name}]\nrun = "mine:{name}"\nevery = "{every}"\n{more}\n'
CONFIG = FAST + "".join(
    TASK.format(name=name, every=every, more=more)
    for name, every, more in (
        ("down", "1h", 'catch_up = "none"'),
        ("late", "200ms", ""),
        ("clock", "200ms", ""),
        ("overlap", "200ms", ""),
        ("disabled", "200ms", ""),
        ("paused", "200ms", "pause_after_failures = 1"),
        ("timed_out", "200ms", 'timeout = "300ms"'),
        ("lost", "200ms", ""),
    )
)
CODE = (
    NOTE
    + """
real, shift = time.time, 0.0

def once(name):
    first = not os.path.exists(os.path.join(HERE, name))
    note(name)
    return first

def down(): ...
def late(): ...
def disabled(): ...

def clock():
    global shift
    shift += 5.0 if once("clock") else 0.0
    time.time = lambda: real() + shift

def overlap():
    time.sleep(1 if once("overlap") else 0)

def paused():
    raise ConnectionError("refused")

def timed_out():
    time.sleep(60 if once("timed_out") else 0)

def lost():
    if once("lost"):
        os.kill(os.getpid(), signal.SIGKILL)
"""
)
WORDS = {
    "down": "missed, 3 slots: its process was not there",
    "late": "missed, ",
    "clock": "missed, ",
    "overlap": "skipped, ",
    "disabled": "skipped, ",
    "paused": "skipped, ",
    "timed_out": "timed out: timeout: not done within its timeout of 0.3s (mine.py:",
    "lost": "lost: killed by SIGKILL",
}
WHY = {
    "late": "slots: its process woke too late",
    "clock": "slots: the clock was set forward, or the machine slept",
    "overlap": "slots: the run before it went on",
    "disabled": "slots: it was disabled",
    "paused": "slots: its runs were paused",
}
RAN = ("timed_out", "lost")  # they did start


def away_since(made: Project, name: str, hours: int) -> None:
    """Leave a ledger behind whose last slot ran so long ago."""
    made.state.mkdir(mode=0o700, exist_ok=True)
    (made.state / "history").mkdir(exist_ok=True)
    ledger = Ledger(str(made.state / "history" / f"{name}.db"), lambda code, text: None)
    ledger.set_meta("trigger", Every(3600.0).describe())
    slot = time.time() // 3600 * 3600 - hours * 3600
    ledger.finish(ledger.begin(slot, "schedule", attempt=1, lateness=0.0), "ok", duration=0.1)
    ledger.shut()


def records(made: Project, *arguments: str) -> list[dict[str, Any]]:
    said = made.run("history", *arguments, "--json", "-n", "500")
    found: list[dict[str, Any]] = json.loads(said.stdout) if said.returncode == 0 else []
    return found


def test_for_every_reason(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code=CODE)
    away_since(made, "down", 3)
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        frozen = supervisor.pid_of("late")
        os.kill(frozen, signal.SIGSTOP)
        assert supervisor.cli("disable", "disabled").returncode == 0
        end = time.monotonic() + 1.0
        eventually(lambda: time.monotonic() > end)
        os.kill(frozen, signal.SIGCONT)
        assert supervisor.cli("enable", "disabled").returncode == 0
        for name, words in WORDS.items():
            eventually(partial(of, made, name), within=60, every=0.3, what=f"a record of {name}")
            said = supervisor.cli("explain", name)
            assert said.returncode == 0, said.stderr
            day = " ".join(said.stdout.split()).partition(" last day ")[2]
            assert words in day, said.stdout
            assert WHY.get(name, "") in day, said.stdout
    for name in WORDS:  # and when nobody answers
        assert of(made, name), name


def of(made: Project, name: str) -> list[dict[str, Any]]:
    if name in RAN:
        return [record for record in records(made, name) if record["state"] == name]
    return [record for record in records(made, name, "--missed") if record["reason"] == name]
