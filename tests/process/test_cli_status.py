"""`supervisor status` against something that answers like the supervisor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.project import Project
from support.stand_in import StandIn
from support.statuses import ABOUT, STATUS, TASK1, TASK2, child
from support.terminal import on_terminal, plain

HEAVY = "pydantic multiprocess dill confluent_kafka sqlalchemy psutil asyncio rich starlette h11 kafka schedule tomlkit"


@pytest.fixture
def own(project: Callable[..., Project]) -> Project:
    return project("[supervisor]\n")


@contextmanager
def answering(own: Project, status: dict[str, Any] = STATUS) -> Iterator[StandIn]:
    with StandIn(own.state, lambda method, path, body: (200, status)) as stand_in:
        yield stand_in


def well() -> dict[str, Any]:
    return {"supervisor": ABOUT, "children": [child("a"), TASK2]}


def test_status_imports_click_and_a_socket_nothing_heavy(own: Project) -> None:
    code = f"""
import sys, supervisor.cli
code = supervisor.cli.execute(["status", "--json"])
print([name for name in "{HEAVY}".split() if name in sys.modules], file=sys.stderr)
sys.exit(code)
"""
    with answering(own):
        done = subprocess.run([sys.executable, "-c", code], cwd=own.folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")
    assert json.loads(done.stdout) == STATUS


def test_piped_status_is_plain_and_cut_nowhere(own: Project) -> None:
    with answering(own):
        done = own.run("status")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "off by alice" in done.stdout
    assert "db migration" in done.stdout
    assert done.stdout.splitlines()[0].split() == (
        ["NAME", "STATE", "PID", "UPTIME", "SCHEDULE", "LAST", "RUN", "NEXT", "RESTARTS", "BEAT", "CPU", "MEM", "NOTE"]
    )


def test_the_footer_names_the_problem_and_what_to_type(own: Project) -> None:
    with answering(own):
        done = own.run("status")
    last = done.stdout.splitlines()[-1]
    assert last == "1 problem: task1 is in backoff: ConnectionError: db:5432 refused (supervisor explain task1)"


def test_without_a_problem_there_is_no_footer(own: Project) -> None:
    with answering(own, well()):
        done = own.run("status")
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False), ({}, False)],
    ids=["forced", "no_color", "piped"],
)
def test_colour_is_a_choice_of_the_environment(own: Project, environment: dict[str, str], coloured: bool) -> None:
    with answering(own):
        done = run(own, "status", environment={"NO_COLOR": "", "FORCE_COLOR": "", **environment})
    assert ("\x1b[32m● running\x1b[0m" in done.stdout) is coloured


def test_on_a_terminal_the_table_fits_and_has_colour(own: Project) -> None:
    with answering(own):
        wide, narrow, dumb = (on_terminal(own.folder, "status", COLUMNS=c, TERM=t)[1] for c, t in TERMINALS)
    assert "PID" in wide
    assert "\x1b[33m◐ backoff\x1b[0m" in wide
    assert [len(plain(text)) <= 60 for text in narrow.splitlines()] == [True] * 7
    assert "\x1b" not in dumb


TERMINALS = [("160", "xterm"), ("60", "xterm"), ("80", "dumb")]


def test_columns_from_the_environment_cut_nothing_in_a_pipe(own: Project) -> None:
    with answering(own):
        assert "db migration" in run(own, "status", environment={"COLUMNS": "60"}).stdout


def test_a_terminal_without_utf8_gets_every_line(own: Project) -> None:
    with answering(own):
        done = run(own, "status", environment={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 6


def test_not_running_is_one_sentence_with_the_command_and_the_socket(own: Project) -> None:
    done = own.run("status")
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr == (
        "error: the supervisor is not running (nothing answers at .supervisor/ctl.sock); start it: supervisor start\n"
    )
    assert not own.state.exists()  # a read makes nothing


def test_without_a_config_it_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "supervisor", "status"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "there is no config.toml: supervisor init" in done.stderr


def test_the_config_may_stand_before_or_behind_the_verb_or_in_the_environment(own: Project, tmp_path: Path) -> None:
    config = str(own.config)
    with answering(own):
        before = run(own, "--config", config, "status", "--json", folder=tmp_path)
        behind = run(own, "status", "--json", "--config", config, folder=tmp_path)
        variable = run(own, "status", "--json", folder=tmp_path, environment={"FORKWARDEN_CONFIG": config})
    assert [done.returncode for done in (before, behind, variable)] == [0, 0, 0]
    assert json.loads(before.stdout) == json.loads(behind.stdout) == json.loads(variable.stdout)


def test_a_broken_config_still_finds_the_running_supervisor(own: Project) -> None:
    with answering(own):
        own.configure("[supervisor\n")
        assert own.run("status").returncode == 0


def test_check_is_zero_only_when_everything_wanted_is_ready(own: Project) -> None:
    with answering(own, well()):
        good = own.run("status", "--check")
    (own.state / "ctl.sock").unlink()
    with answering(own):
        bad = own.run("status", "--check")
        live = own.run("status", "--check", "--live")
    assert (good.returncode, good.stdout) == (0, "ok\n")
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr == "task1 is in backoff: ConnectionError: db:5432 refused\n"
    assert live.returncode == 0


def test_names_select_children_and_a_typo_gets_a_suggestion(own: Project) -> None:
    with answering(own):
        one = own.run("status", "--json", "task1")
        check = own.run("status", "--check", "notifications")
        typo = own.run("status", "taks1")
    assert [c["name"] for c in json.loads(one.stdout)["children"]] == ["task1"]
    assert check.returncode == 0
    assert (typo.returncode, typo.stderr) == (4, "error: there is no child 'taks1'; did you mean 'task1'?\n")


def test_wait_ends_when_all_is_well(own: Project) -> None:
    seen = iter([STATUS, STATUS])

    def answer(method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, next(seen, well())

    with StandIn(own.state, answer) as stand_in:
        done = own.run("status", "--check", "--wait", "60s")
    assert done.returncode == 0
    assert len(stand_in.asked) == 3


def test_wait_gives_up_with_five_and_says_what_is_wrong(own: Project) -> None:
    with answering(own):
        done = own.run("status", "--wait", "300ms")
    assert done.returncode == 5
    assert "not ready within 0.3s: task1 is in backoff" in done.stderr


def test_json_is_ascii_whatever_children_say(own: Project) -> None:
    evil = {"supervisor": ABOUT, "children": [{**TASK1, "last_error": "\x1b[31m\x7f\u202e\udcff\r\n"}]}
    with answering(own, evil):
        as_json = own.run("status", "--json")
        table = own.run("status")
    assert as_json.stdout.isascii()
    assert not any((c < " " and c != "\n") or c == "\x7f" for c in as_json.stdout)
    assert json.loads(as_json.stdout) == evil
    assert "\x1b" not in table.stdout
    assert r"\x1b[31m\x7f\u202e\udcff" in table.stdout


def test_head_closes_the_pipe_quietly(own: Project) -> None:
    many = {"supervisor": ABOUT, "children": [child(f"task-{n}", schedule="x" * 200) for n in range(2000)]}
    reader, writer = os.pipe()
    with answering(own, many):
        process = subprocess.Popen(
            [sys.executable, "-m", "supervisor", "status"], cwd=own.folder, stdout=writer, stderr=subprocess.PIPE
        )
        os.close(writer)
        os.read(reader, 100)
        os.close(reader)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, b"")


def run(
    own: Project, *arguments: str, environment: dict[str, str] | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "supervisor", *arguments],
        cwd=folder or own.folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
