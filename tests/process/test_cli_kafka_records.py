"""`supervisor kafka tail` and `produce`: what is written is read, by nobody's group, and mistakes are one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from support.eventually import eventually
from support.kafka import WITHIN
from support.project import FAST, NOTE, Project
from support.supervisor_process import DIES_WITH_PYTEST

CONFIG = (
    FAST
    + """
    [consumers.one]
    handler = "mine:one"
    topics = ["ones"]
    group_id = "one"
    auto_offset_reset = "earliest"
    format = "text"
    """
)
CODE = NOTE + '\n\ndef one(record):\n    note("one", f"{record.key} {record.value}")\n'


def assigned(child: dict[str, Any]) -> bool:
    return len(child.get("partitions") or []) == 4


def test_what_is_produced_is_handled_and_seen_with_key_and_headers(project: Callable[..., Project]) -> None:
    mine = project(CONFIG, CODE)
    with mine.supervisor() as supervisor:
        supervisor.wait_child("one", assigned, WITHIN)
        told = supervisor.cli("kafka", "produce", "ones", "--key", "k", "--header", "a=b=c", "\x1b[31mred\nFORGED")
        assert told.returncode == 0, told.stderr
        assert told.stdout.startswith("ones[")
        eventually(lambda: len(mine.lines("one")) == 2, within=WITHIN)
        for named in ("ones", "one"):
            shown = supervisor.cli("kafka", "tail", named)
            assert shown.returncode == 0, shown.stderr
            assert len(shown.stdout.splitlines()) == 1
            assert shown.stdout.endswith("  key=k  a=b=c  \\x1b[31mred\\x0aFORGED\n")
        row = json.loads(supervisor.cli("kafka", "tail", "one", "--json").stdout)
        assert (row["key"], row["headers"], row["value"]) == ("k", [["a", "b=c"]], "\x1b[31mred\nFORGED")


def test_each_line_of_stdin_is_a_record_and_n_are_shown(project: Callable[..., Project]) -> None:
    mine = project(CONFIG, CODE)
    with mine.supervisor() as supervisor:
        supervisor.wait_child("one", assigned, WITHIN)
        command = [sys.executable, "-m", "supervisor", "kafka", "produce", "ones", "-", "--key", "same"]
        done = subprocess.run(
            command, cwd=mine.folder, input=b"a\nb\nc\n", capture_output=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout) == (0, b"ones: 3 records\n"), done.stderr
        shown = supervisor.cli("kafka", "tail", "ones", "-n", "2").stdout.splitlines()
        assert [each.rsplit("  ", 1)[1] for each in shown] == ["b", "c"]


def test_a_tail_goes_on_with_what_comes(project: Callable[..., Project]) -> None:
    mine = project(CONFIG, CODE)
    with mine.supervisor() as supervisor:
        supervisor.wait_child("one", assigned, WITHIN)
        assert supervisor.cli("kafka", "produce", "ones", "first").returncode == 0
        command = [*DIES_WITH_PYTEST, sys.executable, "-m", "supervisor", "kafka", "tail", "ones", "-f"]
        with (
            open(mine.folder / "seen", "wb") as seen,
            subprocess.Popen(command, cwd=mine.folder, stdout=seen, stdin=subprocess.DEVNULL) as following,
        ):
            try:
                eventually(lambda: any("first" in each for each in mine.lines("seen")), within=WITHIN)
                assert supervisor.cli("kafka", "produce", "ones", "second").returncode == 0
                eventually(lambda: any("second" in each for each in mine.lines("seen")), within=WITHIN)
            finally:
                following.terminate()
        assert sum("first" in each for each in mine.lines("seen")) == 1


def test_mistakes_are_one_line(project: Callable[..., Project]) -> None:
    mine = project(CONFIG, CODE)
    with mine.supervisor() as supervisor:
        supervisor.wait_child("one", assigned, WITHIN)
        for action, *more in (("tail",), ("produce", "x")):
            told = supervisor.cli("kafka", action, "onse", *more)
            assert told.returncode == 1
            assert told.stderr.endswith(": there is no topic 'onse'; did you mean 'ones'?\n"), told.stderr
            assert len(told.stderr.splitlines()) == 1
        told = supervisor.cli("kafka", "produce", "ones", "x", "--header", "a")
        assert told.returncode == 2
        assert "--header: expected NAME=TEXT, got 'a'" in told.stderr
        assert "there is no consumer 'two'" in supervisor.cli("kafka", "tail", "ones", "--like", "two").stderr
