"""Everything is asked to end at once; who does not is killed when the grace period is over."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.system import of_this_session

TASK = """
[tasks.one]
run = "mine:tick"
every = "1h"
run_on_start = true
"""
CODE = {
    "idle": "def tick():\n    note('runs')\n",
    "finishes": "def tick():\n    note('runs')\n    time.sleep(1)\n    note('finished')\n",
    "long": "def tick():\n    note('runs')\n    time.sleep(600)\n",
    "deaf": "def tick():\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    note('runs')\n    time.sleep(600)\n",
    "grandchildren": (
        "import subprocess\n"
        "def tick():\n"
        "    for command in ('sleep 600', 'setsid sleep 600 & setsid -f sleep 600', 'trap \"\" TERM; sleep 600'):\n"
        "        subprocess.Popen(['sh', '-c', command], start_new_session=True)\n"
        "    note('runs')\n"
    ),
}


@pytest.mark.parametrize("kind", CODE)
def test_nothing_is_left(project: Callable[..., Project], kind: str) -> None:
    made = project(config=FAST + TASK, code=NOTE + CODE[kind])
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        eventually(lambda: made.lines("runs"), within=30)
        begun = time.monotonic()
        code = supervisor.stop()
        took = time.monotonic() - begun
        assert of_this_session() == []
        assert took < 2 + 1 + 10, "the grace period, its second, and ten for a loaded machine"
        assert code == (1 if kind in ("long", "deaf") else 0), supervisor.stderr


def test_a_run_that_ends_within_the_grace_period_is_finished_and_ok(project: Callable[..., Project]) -> None:
    made = project(config=FAST.replace("2s", "20s") + TASK, code=NOTE + CODE["finishes"])
    with made.supervisor() as supervisor:
        eventually(lambda: made.lines("runs"), within=30)
        assert supervisor.stop(40) == 0
    assert len(made.lines("finished")) == 1
    assert last_run(made)["state"] == "ok"


def test_a_run_that_is_cut_is_recorded_as_interrupted(project: Callable[..., Project]) -> None:
    made = project(config=FAST + TASK, code=NOTE + CODE["long"])
    with made.supervisor() as supervisor:
        eventually(lambda: made.lines("runs"), within=30)
        supervisor.stop()
    assert last_run(made)["state"] == "interrupted"


def last_run(made: Project) -> dict[str, object]:
    history = made.run("history", "one", "--json")
    assert history.returncode == 0, history.stderr
    records = [record for record in json.loads(history.stdout) if record["kind"] == "start"]
    assert len(records) == 1, records
    found: dict[str, object] = records[0]
    return found


def test_a_second_signal_shortens_it_and_a_third_kills(project: Callable[..., Project]) -> None:
    made = project(config=FAST.replace("2s", "10m") + TASK, code=NOTE + CODE["deaf"])
    with made.supervisor() as supervisor:
        eventually(lambda: made.lines("runs"), within=30)
        for _ in range(3):
            supervisor.terminate()
            time.sleep(0.3)  # three signals and not one: the kernel merges those that are pending
        assert supervisor.wait(30) == 1
        assert of_this_session() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_as_sigterm_does(project: Callable[..., Project], number: int) -> None:
    made = project(config=FAST + TASK, code=NOTE + CODE["idle"])
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        supervisor.process.send_signal(number)
        assert supervisor.wait() == 0


def test_a_signal_during_the_start_ends_it_too(project: Callable[..., Project]) -> None:
    made = project(config=FAST + TASK, code=NOTE + "note('importing')\ntime.sleep(600)\n")
    with made.supervisor() as supervisor:
        eventually(lambda: made.lines("importing"), within=30)
        supervisor.stop()
        assert of_this_session() == []


def test_the_command_stop_waits_until_everything_is_gone(project: Callable[..., Project]) -> None:
    made = project(config=FAST + TASK, code=NOTE + CODE["grandchildren"])
    with made.supervisor() as supervisor:
        eventually(lambda: made.lines("runs"), within=30)
        stopped = supervisor.cli("stop")
        assert stopped.returncode == 0, stopped.stderr
        assert supervisor.wait(1) == 0
        assert of_this_session() == []
