"""What of the last day `explain` tells of a task: what did not run, what ended badly, and why."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.cli import lately
from supervisor.cli.past import instant

NOW = 1_795_615_200.0


def run(ago: float, state: str, **more: Any) -> dict[str, Any]:
    return {"task": "mail", "slot": NOW - ago, "kind": "schedule", "state": state, **more}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (run(60, "missed", reason="down"), "missed: its process was not there"),
        (run(60, "missed", reason="late"), "missed: its process woke too late"),
        (run(60, "missed", reason="clock"), "missed: the clock was set forward, or the machine slept"),
        (run(60, "skipped", reason="overlap"), "skipped: the run before it went on"),
        (run(60, "skipped", reason="disabled"), "skipped: it was disabled"),
        (run(60, "skipped", reason="paused"), "skipped: its runs were paused"),
        (run(60, "skipped", reason="stopping"), "skipped: its process was stopping"),
        (run(60, "killed", error="hung: no heartbeat for 20s"), "killed: hung: no heartbeat for 20s"),
        (run(60, "timed_out", error="timeout: not done within 1h"), "timed out: timeout: not done within 1h"),
        (run(60, "interrupted", error="overlap: ended", reason="overlap"), "interrupted: overlap: ended"),
        (run(60, "lost", error="killed by SIGKILL"), "lost: killed by SIGKILL"),
        (run(60, "lost", reason="started, not recorded", last=NOW - 60, slots=1), "lost: it started, and its process"),
        (run(60, "failed", error="ValueError: no (mine.py:2)\nmore"), "failed: ValueError: no (mine.py:2)"),
        (run(60, "skipped", reason="of a later release"), "skipped: of a later release"),
    ],
)
def test_each_way_not_to_run_is_said_in_words(found: dict[str, Any], words: str) -> None:
    (line,) = lately.told([found], "mail", NOW)
    assert line.startswith(f"{instant(NOW - 60)} {words}")


def test_slots_next_to_each_other_with_one_reason_are_one_line() -> None:
    night = run(7200, "missed", reason="down", last=NOW - 3600, slots=3)
    failed = [run(ago, "failed", error="ConnectionError: refused") for ago in (300, 240, 180)]
    said = lately.told([night, run(1800, "ok"), *failed, run(120, "ok")], "mail", NOW)
    assert said[0].startswith(f"{instant(NOW - 7200)} to ")
    assert said[0].endswith(" missed, 3 slots: its process was not there")
    assert said[1].startswith(f"{instant(NOW - 300)} to ")
    assert said[1].endswith(" failed, 3 slots: ConnectionError: refused")
    assert len(said) == 2


def test_what_is_well_or_long_ago_is_no_news() -> None:
    assert lately.told([run(90_000, "missed", reason="down"), run(60, "ok"), run(0, "running")], "mail", NOW) == []


def test_of_many_the_newest_are_told_and_where_the_others_are() -> None:
    runs = [run(600 - 10 * at, "failed", error=f"E{at}") for at in range(20)]
    said = lately.told(runs, "mail", NOW)
    assert said[0] == "… supervisor history mail has the 15 before these"
    assert [line.rpartition(" ")[2] for line in said[1:]] == ["E15", "E16", "E17", "E18", "E19"]


def test_a_range_of_uncounted_slots_is_many() -> None:
    (line,) = lately.told([run(600, "missed", reason="down", last=NOW - 60, slots=None)], "mail", NOW)
    assert "missed, many slots: " in line


def test_what_was_not_looked_at_is_said() -> None:
    runs = [run(20_000 - at, "ok") for at in range(10_000)]
    (line,) = lately.not_all(runs, "mail", NOW)
    assert line == "of the last 5h33m only: supervisor history mail --missed has what was before"
    assert lately.not_all(runs[1:], "mail", NOW) == []
    assert lately.not_all([run(90_000, "ok"), *runs[1:]], "mail", NOW) == []
