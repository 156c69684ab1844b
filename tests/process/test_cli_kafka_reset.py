"""`supervisor kafka reset-offsets`: records come again or are passed, and never under a consumer that runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.eventually import eventually
from support.kafka import WITHIN
from support.project import FAST, NOTE, Project

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
CODE = NOTE + '\n\ndef one(record):\n    note("seen", record.value)\n'


def all_handled(child: dict[str, Any]) -> bool:
    return len(child.get("partitions") or []) == 4 and child.get("lag") == 0


def test_records_come_again_and_a_running_consumer_is_not_touched(project: Callable[..., Project]) -> None:
    mine = project(CONFIG, CODE)
    with mine.supervisor() as supervisor:
        supervisor.wait_child("one", all_handled, WITHIN)
        for value in ("a", "b", "c"):
            assert supervisor.cli("kafka", "produce", "ones", value, "--key", "k").returncode == 0
        eventually(lambda: mine.lines("seen") == ["a", "b", "c"], within=WITHIN)
        old = supervisor.pid_of("one")
        command = ("kafka", "reset-offsets", "one", "--to")
        dry = supervisor.cli(*command, "earliest", "--dry-run")
        assert (dry.returncode, dry.stderr, len(dry.stdout.splitlines())) == (0, "nothing was changed\n", 4)
        refused = supervisor.cli(*command, "earliest")
        assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
        assert "one is running, and would go on where it is: add --restart" in refused.stderr
        assert supervisor.pid_of("one") == old
        told = supervisor.cli(*command, "1", "--restart")
        assert told.returncode == 0, told.stderr
        assert sum(each.endswith("  3 → 1") for each in told.stdout.splitlines()) == 1
        eventually(lambda: mine.lines("seen") == ["a", "b", "c", "b", "c"], within=WITHIN)
        assert supervisor.child("one")["enabled"] is True


def test_a_disabled_consumer_stays_off_and_passes_what_it_was_told_to(project: Callable[..., Project]) -> None:
    mine = project(CONFIG, CODE)
    with mine.supervisor() as supervisor:
        supervisor.wait_child("one", all_handled, WITHIN)
        assert supervisor.cli("disable", "one").returncode == 0
        supervisor.wait_child("one", lambda child: child["pid"] is None, WITHIN)
        assert supervisor.cli("kafka", "produce", "ones", "passed").returncode == 0
        told = supervisor.cli("kafka", "reset-offsets", "one", "--to", "latest")
        assert told.returncode == 0, told.stderr
        assert supervisor.child("one")["pid"] is None
        assert supervisor.cli("enable", "one").returncode == 0
        assert supervisor.cli("kafka", "produce", "ones", "handled").returncode == 0
        eventually(lambda: mine.lines("seen"), within=WITHIN)
        assert mine.lines("seen") == ["handled"]


def test_mistakes_of_a_reset_are_one_line(project: Callable[..., Project]) -> None:
    mine = project(CONFIG, CODE)
    told = mine.run("kafka", "reset-offsets", "one", "--to", "noon")
    assert told.returncode == 2
    assert 'expected earliest, latest, an offset, or a time like "2026-11-25T14:00:00Z", got "noon"' in told.stderr
    assert "there is no consumer 'two'" in mine.run("kafka", "reset-offsets", "two", "--to", "latest").stderr
    with mine.supervisor() as supervisor:
        supervisor.wait_child("one", all_handled, WITHIN)
        told = supervisor.cli("kafka", "reset-offsets", "one", "--to", "0", "--partition", "9", "--dry-run")
        assert "no topic of one has a partition 9" in told.stderr
