"""Off is the absence of the process: over kill -9, restart and reload, until somebody says otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor
from support.system import of_this_session

CONFIG = (
    FAST
    + """
[tasks.one]
enabled = true
run = "mine:tick"
every = "1s"

[tasks.other]
run = "mine:tock"
every = "1s"
"""
)
CODE = NOTE + "def tick():\n    note('one')\n\ndef tock():\n    note('other')\n"


@pytest.fixture
def made(project: Callable[..., Project]) -> Project:
    return project(config=CONFIG, code=CODE)


def off(supervisor: Supervisor) -> None:
    """Wait until it is off, as status and as the kernel see it."""
    supervisor.wait_child(
        "one", lambda child: child["state"] == "stopped" and not child["enabled"] and not child["pid"]
    )
    eventually(lambda: not of_this_session("forkwarden: one"))
    assert supervisor.child("other")["wanted"]


def test_a_disabled_child_is_gone_and_its_neighbour_does_not_notice(made: Project) -> None:
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        neighbour = supervisor.pid_of("other")
        assert supervisor.cli("disable", "one", "--note", "database migration").returncode == 0
        off(supervisor)
        assert supervisor.child("one")["override"]["note"] == "database migration"
        assert supervisor.pid_of("other") == neighbour


def test_it_stays_off_over_kill_9_restart_reload_and_restarts_of_others(made: Project) -> None:
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        assert supervisor.cli("disable", "one").returncode == 0
        off(supervisor)
        supervisor.kill()
        supervisor.start().wait_ready()
        off(supervisor)
        assert supervisor.stop() == 0
        supervisor.start().wait_ready()
        off(supervisor)
        assert supervisor.cli("reload").returncode == 0
        off(supervisor)
        assert supervisor.cli("restart", "other").returncode == 0
        off(supervisor)
        assert supervisor.cli("enable", "one").returncode == 0
        supervisor.pid_of("one")


def test_it_stays_off_when_the_supervisor_is_killed_the_moment_the_command_is_through(made: Project) -> None:
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        code, answer = supervisor.request("POST", "/v1/children/one/disable", {})
        supervisor.kill()
        assert code == 200, answer
        supervisor.start().wait_ready()
        off(supervisor)


def test_enabled_false_in_the_file_never_starts_it(made: Project) -> None:
    made.configure(CONFIG.replace("enabled = true", "enabled = false"))
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        off(supervisor)
        eventually(lambda: len(made.lines("other")) >= 2, within=30)
    assert made.lines("one") == []


def test_a_change_of_the_file_toggles_it_and_nothing_else(made: Project) -> None:
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        neighbour = supervisor.pid_of("other")
        made.configure(CONFIG.replace("enabled = true", "enabled = false"))
        assert supervisor.cli("reload").returncode == 0
        off(supervisor)
        made.configure(CONFIG)
        assert supervisor.cli("reload").returncode == 0
        supervisor.pid_of("one")
        assert supervisor.pid_of("other") == neighbour


def test_disable_for_a_time_ends_by_itself(made: Project) -> None:
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        assert supervisor.cli("disable", "one", "--for", "2s").returncode == 0
        supervisor.wait_child("one", lambda child: child["override"] is None and child["ready"])


def test_saved_changes_apply_by_themselves(made: Project) -> None:
    watched = CONFIG.replace("watch = false", "watch = true")
    made.configure(watched)
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        made.configure(watched.replace("enabled = true", "enabled = false"))
        off(supervisor)


def test_status_in_json_is_what_the_socket_says(made: Project) -> None:
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        shown = json.loads(supervisor.cli("status", "--json").stdout)
        assert [child["name"] for child in shown["children"]] == ["one", "other"]
