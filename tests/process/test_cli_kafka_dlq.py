"""`supervisor kafka dlq`: letters are listed with their reasons, shown whole, and sent back once they are mended."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from support.eventually import eventually
from support.kafka import WITHIN
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor

CONFIG = (
    FAST
    + """
    [consumers.one]
    handler = "mine:one"
    topics = ["ones"]
    group_id = "one"
    auto_offset_reset = "earliest"
    format = "text"
    retries = 0
    dead_letter_topic = "given.up"
    """
)
CODE = (
    NOTE
    + """

def one(record):
    note("seen", record.value)
    if record.value.startswith("bad") and not os.path.exists(os.path.join(HERE, "mended")):
        raise ValueError("what is " + record.value)
    note("done", f"{record.key} {dict(record.headers)}")
"""
)


def letters(supervisor: Supervisor) -> list[dict[str, Any]]:
    found = supervisor.cli("kafka", "dlq", "ls", "one", "--json")
    rows: list[dict[str, Any]] = json.loads(found.stdout)["letters"] if found.returncode == 0 else []
    return rows


def assigned(child: dict[str, Any]) -> bool:
    return len(child.get("partitions") or []) == 4


def test_a_letter_goes_back_with_a_count_and_only_what_is_meant(project: Callable[..., Project]) -> None:
    mine = project(CONFIG, CODE)
    with mine.supervisor() as supervisor:
        supervisor.wait_child("one", assigned, WITHIN)
        none = supervisor.cli("kafka", "dlq", "ls", "one")
        assert (none.returncode, none.stderr) == (1, "error: given.up has no such letter of one\n")
        for value in ("bad-1", "bad-2"):
            assert supervisor.cli("kafka", "produce", "ones", value, "--key", "k", "--header", "a=b").returncode == 0
        found = eventually(lambda: rows if len(rows := letters(supervisor)) == 2 else None, within=WITHIN)
        assert [(each["exception"], each["message"], each["replays"]) for each in found] == [
            ("builtins.ValueError", "what is bad-1", 0),
            ("builtins.ValueError", "what is bad-2", 0),
        ]
        shown = supervisor.cli("kafka", "dlq", "show", "one").stdout
        assert "what is bad-2" in shown
        assert "Traceback" in shown
        where = ("kafka", "dlq", "replay", "one", "--where", "value=bad-2")
        dry = supervisor.cli(*where, "--dry-run")
        assert (len(dry.stdout.splitlines()), dry.stderr) == (1, "1 letter would go back\n")
        assert mine.lines("seen") == ["bad-1", "bad-2"]
        mine.write("mended", "yes")
        told = supervisor.cli(*where)
        assert (told.returncode, told.stdout) == (0, "1 letter went back; they stay in given.up\n"), told.stderr
        eventually(lambda: len(mine.lines("done")) == 1, within=WITHIN)
        assert mine.lines("seen") == ["bad-1", "bad-2", "bad-2"]
        assert mine.lines("done") == ["b'k' {'a': b'b', 'x-forkwarden-replays': b'1'}"]


def test_a_letter_whose_topic_is_gone_is_refused_with_words(project: Callable[..., Project]) -> None:
    mine = project(CONFIG, CODE)
    with mine.supervisor() as supervisor:
        supervisor.wait_child("one", assigned, WITHIN)
        header = "kafka_dlt-original-topic=gone"
        assert supervisor.cli("kafka", "produce", "given.up", "bad", "--header", header).returncode == 0
        told = supervisor.cli("kafka", "dlq", "replay", "one")
        assert told.returncode == 1
        assert "nothing was sent: where the letter came from is gone: there is no topic 'gone'" in told.stderr
        assert len(told.stderr.splitlines()) == 1
        assert supervisor.cli("kafka", "produce", "given.up", "bad").returncode == 0
        found = letters(supervisor)
        lost = next(each for each in found if each["topic"] is None)
        at = f"{lost['partition']}:{lost['offset']}"
        told = supervisor.cli("kafka", "dlq", "replay", "one", at)
        assert told.returncode == 1
        assert told.stderr == f"left out: {at} does not say where it came from\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ls", "two"], "there is no consumer 'two'"),
        (["ls", "one", "--where", "size=3"], "--where: expected FIELD=TEXT with one of exception, message"),
        (["ls", "one", "--dry-run"], "--dry-run goes with replay"),
    ],
)
def test_mistakes_are_told(project: Callable[..., Project], arguments: list[str], said: str) -> None:
    told = project(CONFIG, CODE).run("kafka", "dlq", *arguments)
    assert told.returncode != 0
    assert said in told.stderr
