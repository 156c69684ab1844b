"""What a child sends that is no message, too much, too late or not its own: replaced by name, or ignored."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from support.eventually import eventually
from support.pipe_code import MESSAGES
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor
from support.system import rss

CONFIG = (
    FAST
    + """
heartbeat = { interval = "100ms", timeout = "3s" }

[tasks.one]
run = "mine:tick"
every = "1h"
run_on_start = true

[tasks.well]
run = "mine:well"
every = "200ms"
"""
)
HEAD = (
    NOTE
    + MESSAGES
    + """
def well():
    note("well")


def tick():
    note("runs", os.getpid())
    if len(open(os.path.join(HERE, "runs")).readlines()) == 1:
        first()
        note("said")
        time.sleep(600)
"""
)
BROKEN = {
    "a length that cannot be": "say(b'\\x7f\\xff\\xff\\xff')",
    "a negative length": "say(b'\\xff\\xff\\xff\\xff')",
    "noise": "say(bytes(range(255, 155, -1)) * 40)",
    "101 frames that are no JSON": "for _ in range(101): say(frame(b'{no'))",
    "101 frames that are no object": "for _ in range(101): say(frame([1]))",
    "101 frames of another protocol": "for _ in range(101): say(frame({'t': 'unheard of'}))",
    "101 frames of a wrong shape": "for _ in range(101): say(frame({'t': 'beat', 'rss': 'much'}))",
    "101 hellos of another generation": "for _ in range(101): say(frame({'t': 'hello', 'generation': 999}))",
    "half a frame, and beats behind it": "say(b'\\0\\0\\0\\x20{')",
}
HARMLESS = {
    "some frames that are none": "for _ in range(50): say(frame(b'{no'))",
    "a hello of another generation": "say(frame({'t': 'hello', 'generation': 999}))",
    "a second ready": "say(frame({'t': 'ready'}))",
    "a goodbye that is no end": "say(frame({'t': 'bye', 'code': 78, 'reason': 'not at all'}))",
    "a beat with figures that cannot be": "say(frame({'t': 'beat', 'rss': 10**300, 'cpu': -1e308, 'dropped': -5}))",
    "an empty frame": "say(frame(b''))",
}


def made(project: Callable[..., Project], body: str) -> Project:
    return project(
        config=CONFIG, code=HEAD + "\n\ndef first():\n" + "".join(f"    {line}\n" for line in body.splitlines())
    )


def replaced(supervisor: Supervisor, mine: Project) -> dict[str, Any]:
    (old, *_) = eventually(lambda: mine.lines("runs"), within=30)
    return supervisor.wait_child("one", lambda child: child["ready"] and child["pid"] != int(old), within=90)


@pytest.mark.parametrize("what", BROKEN)
def test_a_child_that_sends_what_are_no_messages_is_replaced(project: Callable[..., Project], what: str) -> None:
    mine = made(project, BROKEN[what])
    with mine.supervisor() as supervisor:
        child = replaced(supervisor, mine)
        assert child["last_exit"]["cause"] == "protocol", child["last_exit"]
        assert child["restarts"] == 1
        assert supervisor.child("well")["restarts"] == 0


@pytest.mark.parametrize("what", HARMLESS)
def test_what_is_merely_odd_changes_nothing(project: Callable[..., Project], what: str) -> None:
    mine = made(project, HARMLESS[what])
    with mine.supervisor() as supervisor:
        eventually(lambda: mine.lines("said"), within=30)
        pid = supervisor.pid_of("one")
        for _ in range(3):
            time.sleep(0.5)  # it is looked at once a second; nothing is waited for
            child = supervisor.child("one")
            assert (child["state"], child["pid"], child["starts"]) == ("running", pid, 1)


def test_a_child_that_closes_its_pipe_is_hung(project: Callable[..., Project]) -> None:
    mine = made(project, "os.close(messages())")
    with mine.supervisor() as supervisor:
        child = replaced(supervisor, mine)
        assert child["last_exit"]["cause"] == "hung"


def test_half_a_frame_and_then_silence_is_hung_and_blocks_nobody(project: Callable[..., Project]) -> None:
    mine = made(project, "say(b'\\0\\0\\x01\\0{\"t\"')\nos.kill(os.getpid(), signal.SIGSTOP)")
    with mine.supervisor() as supervisor:
        child = replaced(supervisor, mine)
        assert child["last_exit"]["cause"] == "hung"
        assert supervisor.child("well")["restarts"] == 0


FLOODS = {
    "beats": "data = frame({'t': 'beat', 'rss': 1, 'cpu': 0.0, 'dropped': 0}) * 50",
    "ready": "data = frame({'t': 'ready'}) * 50",
    "facts": "data = frame({'t': 'facts', 'facts': {'k' * 60 + str(n): 'x' for n in range(40)}})",
    "notices": "data = frame({'t': 'notice', 'level': 'error', 'code': 'x', 'text': 'noise'}) * 50",
}


@pytest.mark.parametrize(
    ("what", "when"),
    [*((what, "while it runs") for what in FLOODS), *((what, "before it is ready") for what in ("beats", "notices"))],
)
def test_a_flood_keeps_nobody_waiting_and_grows_nothing(project: Callable[..., Project], what: str, when: str) -> None:
    """A pipe full of frames at a time, and the others have their turn in between."""
    flood = f"{FLOODS[what]}\nend = time.monotonic() + 2\nwhile time.monotonic() < end: say(data)"
    if when == "before it is ready":
        mine = made(project, "pass")
        mine.write("mine.py", HEAD.replace("def tick", f"{flood}\n\n\ndef tick") + "\n\ndef first():\n    pass\n")
    else:
        mine = made(project, flood)
    with mine.supervisor() as supervisor:
        supervisor.pid_of("well")
        before, ran = rss(supervisor.pid), len(mine.lines("well"))
        for _ in range(20):
            supervisor.status()
        os.kill(supervisor.pid_of("well"), signal.SIGKILL)
        eventually(lambda: len(mine.lines("well")) > ran + 5, within=30)
        eventually(lambda: mine.lines("said"), within=60)
        assert rss(supervisor.pid) - before < 20 * 2**20
        assert supervisor.child("one")["starts"] == 1, "a flood of messages is no crime"
        assert supervisor.stop() in (0, 1)
        assert len(supervisor.stderr) < 500_000, "what it says is not passed on without end"


def test_last_words_are_heard_although_the_process_is_gone(project: Callable[..., Project]) -> None:
    """They stand in the pipe, behind hundreds of others; a killed one has none, and gets none of another's."""
    body = (
        "for n in range(300): say(frame({'t': 'facts', 'facts': {'note': 'x' * 100 + str(n)}}))\n"
        "say(frame({'t': 'bye', 'code': 9, 'reason': 'my last words'}))\n"
        "os._exit(9)"
    )
    mine = made(project, body)
    with mine.supervisor() as supervisor:
        child = replaced(supervisor, mine)
        assert child["last_exit"]["reason"] == "exited with 9: my last words"
        os.kill(child["pid"], signal.SIGKILL)
        child = supervisor.wait_child("one", lambda now: now["ready"] and now["pid"] != child["pid"])
        assert child["last_exit"]["reason"] == "killed by SIGKILL (not by us)"


ENDS = {
    "sys.exit": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "SystemExit with a text": ("raise SystemExit('enough')", "enough"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "GeneratorExit": ("raise GeneratorExit", "GeneratorExit"),
    "MemoryError": ("raise MemoryError", "MemoryError"),
    "RecursionError": ("def f(): f()\nf()", "RecursionError"),
    "BaseException": ("class Mine(BaseException): pass\nraise Mine('odd')", "odd"),
}


@pytest.mark.parametrize("what", ENDS)
def test_whatever_a_run_raises_is_a_failed_run_and_no_success(project: Callable[..., Project], what: str) -> None:
    code, says = ENDS[what]
    mine = made(project, code)
    with mine.supervisor() as supervisor:
        child = supervisor.wait_child("one", lambda child: child.get("last_run"), within=60)
        assert child["last_run"]["state"] == "failed"
        assert says in child["last_run"]["error"]
        assert (child["state"], child["restarts"]) == ("running", 0), "the run failed, the process did not"


@pytest.mark.parametrize("what", ENDS)
def test_whatever_an_import_raises_ends_the_process_with_a_reason(project: Callable[..., Project], what: str) -> None:
    code, says = ENDS[what]
    mine = project(config=CONFIG, code=NOTE + "def well(): pass\ndef tick(): pass\n" + code + "\n")
    with mine.supervisor() as supervisor:
        child = supervisor.wait_child("one", lambda child: child["last_exit"], within=60)
        assert says in child["last_exit"]["reason"]
        assert child["last_exit"]["code"] not in (0, None)
        assert child["last_exit"]["cause"] in ("crash", "config")
