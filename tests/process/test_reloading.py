"""A reload by the real command: what the command line said stays, and what is wrong is logged with its place."""

from __future__ import annotations

from collections.abc import Callable

from support.eventually import eventually
from support.project import FAST, Project

TASK = FAST + '[tasks.tick]\nrun = "mine:tick"\nevery = "1h"\n'
CODE = "def tick(): pass\n"


def test_a_reload_keeps_what_the_command_line_said(project: Callable[..., Project]) -> None:
    mine = project(TASK, CODE)
    with mine.supervisor("--dev", "--log-format", "json") as supervisor:
        supervisor.wait_ready()
        assert supervisor.request("POST", "/v1/reload", {"dry_run": True})[1]["plan"] == []
        mine.configure(TASK.replace("1h", "2h"))
        code, reply = supervisor.request("POST", "/v1/reload", {})
        assert (code, [change["name"] for change in reply["plan"]]) == (200, ["tick"])
        assert supervisor.request("POST", "/v1/reload", {"dry_run": True})[1]["plan"] == []


def test_a_refused_configuration_is_logged_with_every_place(project: Callable[..., Project]) -> None:
    mine = project(TASK, CODE)
    with mine.supervisor() as supervisor:
        supervisor.wait_ready()
        mine.configure(TASK.replace("1h", "never") + "colour = 1\n")
        reply = supervisor.request("POST", "/v1/reload", {})[1]
        assert reply["applied"] is False
        first, second = (f"config.toml:{problem['line']}: {problem['key']}: " for problem in reply["problems"])
        eventually(lambda: "2 problems in the configuration" in supervisor.stderr)
        assert first + "expected a duration" in supervisor.stderr
        assert second + "unknown key" in supervisor.stderr


def test_what_must_wait_for_the_next_start_is_said(project: Callable[..., Project]) -> None:
    mine = project(TASK, CODE)
    with mine.supervisor() as supervisor:
        supervisor.wait_ready()
        mine.configure(TASK.replace("watch = false", 'watch = false\npreload = ["json"]'))
        supervisor.request("POST", "/v1/reload", {})
        eventually(lambda: "in force after the next start of the supervisor" in supervisor.stderr)


def test_a_child_that_is_broken_already_bars_no_change_of_another(project: Callable[..., Project]) -> None:
    broken = TASK + '\n[tasks.broken]\nrun = "nowhere:tick"\nevery = "1h"\n'
    mine = project(broken, CODE)
    with mine.supervisor() as supervisor:
        supervisor.wait_child("broken", lambda child: child["state"] == "fatal")
        mine.configure(broken.replace('"mine:tick"\nevery = "1h"', '"mine:tick"\nevery = "2h"'))
        reply = supervisor.request("POST", "/v1/reload", {})[1]
        assert reply["applied"], reply
        assert [warning["key"] for warning in reply["warnings"]] == ["tasks.broken.run"]


def test_a_new_target_that_does_not_exist_is_refused(project: Callable[..., Project]) -> None:
    mine = project(TASK, CODE)
    with mine.supervisor() as supervisor:
        supervisor.wait_ready()
        mine.configure(TASK.replace("mine:tick", "mine:tock"))
        reply = supervisor.request("POST", "/v1/reload", {})[1]
        assert not reply["applied"]
        assert [problem["key"] for problem in reply["problems"]] == ["tasks.tick.run"]
