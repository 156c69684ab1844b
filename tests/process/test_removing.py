"""Children that leave the configuration while they live, and what was under way with them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor
from support.system import alive

KEPT = """
[tasks.kept]
run = "mine:tick"
every = "1h"
"""
ONE = """
[tasks.one]
run = "mine:slow"
every = "1h"
"""
CODE = NOTE + "def tick():\n    note('runs')\n\ndef slow():\n    note('slow', os.getpid())\n    time.sleep(1)\n"


def names(supervisor: Supervisor) -> list[str]:
    return [child["name"] for child in supervisor.status()["children"]]


def reload(supervisor: Supervisor) -> dict[str, Any]:
    code, body = supervisor.request("POST", "/v1/reload", {})
    assert (code, body["problems"]) == (200, []), body
    return dict(body)


def test_a_child_that_is_removed_ends_and_is_forgotten(project: Callable[..., Project]) -> None:
    made = project(config=FAST + KEPT + ONE, code=CODE)
    with made.supervisor() as supervisor:
        one, kept = supervisor.pid_of("one"), supervisor.pid_of("kept")
        made.configure(FAST + KEPT)
        reload(supervisor)
        eventually(lambda: names(supervisor) == ["kept"], within=30)
        assert not alive(one)
        assert supervisor.pid_of("kept") == kept
        made.configure(FAST + KEPT + ONE)
        reload(supervisor)
        assert supervisor.pid_of("one") != one
        assert supervisor.child("one")["restarts"] == 0
        assert supervisor.stop() == 0, supervisor.stderr


def test_a_child_that_waits_for_its_next_try_can_be_removed(project: Callable[..., Project]) -> None:
    crashes = ONE.replace("slow", "missing").replace("mine:", "broken:")
    made = project(config=FAST + KEPT + crashes, code=CODE)
    made.write("broken.py", "raise RuntimeError('not today')\n")
    with made.supervisor() as supervisor:
        supervisor.wait_child("one", lambda child: child["state"] == "backoff")
        made.configure(FAST + KEPT)
        reload(supervisor)
        eventually(lambda: names(supervisor) == ["kept"], within=30)
        assert supervisor.stop() == 0, supervisor.stderr


def test_a_disabled_task_can_be_removed_in_the_middle_of_its_run_by_hand(project: Callable[..., Project]) -> None:
    made = project(config=FAST + KEPT + ONE.replace("[tasks.one]", "[tasks.one]\nenabled = false"), code=CODE)
    with made.supervisor() as supervisor:
        supervisor.pid_of("kept")
        answers: list[Any] = []
        asking = threading.Thread(
            target=lambda: answers.append(supervisor.request("POST", "/v1/children/one/run", {"wait": True}))
        )
        asking.start()
        eventually(lambda: made.lines("slow"), within=30)
        made.configure(FAST + KEPT)
        reload(supervisor)
        asking.join(30)
        assert answers[0][1]["run"]["state"] in ("ok", "lost", "interrupted"), answers
        eventually(lambda: names(supervisor) == ["kept"], within=30)
        assert supervisor.stop() == 0, supervisor.stderr


def test_a_run_by_hand_of_a_disabled_task_takes_its_process_along(project: Callable[..., Project]) -> None:
    made = project(config=FAST + KEPT + ONE.replace("[tasks.one]", "[tasks.one]\nenabled = false"), code=CODE)
    with made.supervisor() as supervisor:
        supervisor.pid_of("kept")
        for _ in range(2):
            code, body = supervisor.request("POST", "/v1/children/one/run", {"wait": True})
            assert (code, body["run"]["state"]) == (200, "ok"), body
            supervisor.wait_child("one", lambda child: child["pid"] is None)
        assert supervisor.stop() == 0, supervisor.stderr


def test_who_waits_for_a_run_hears_when_its_process_is_killed(project: Callable[..., Project]) -> None:
    made = project(config=FAST + KEPT + ONE, code=CODE.replace("sleep(1)", "sleep(600)"))
    with made.supervisor() as supervisor:
        one = supervisor.pid_of("one")
        answers: list[Any] = []
        asking = threading.Thread(
            target=lambda: answers.append(supervisor.request("POST", "/v1/children/one/run", {"wait": True}))
        )
        asking.start()
        eventually(lambda: made.lines("slow"), within=30)
        code, _ = supervisor.request("POST", "/v1/children/one/restart", {"now": True})
        assert code == 200
        asking.join(30)
        assert answers[0][1]["run"]["state"] in ("lost", "interrupted"), answers
        supervisor.wait_child("one", lambda child: child["ready"] and child["pid"] != one)
