"""What stands below the table: problems and warnings that fit, with the command to type."""

from __future__ import annotations

import pytest

from supervisor.core.footer import footer, warnings
from supervisor.core.words import width
from support.statuses import ABOUT, NOW, STATUS, child, down, stamp

REFUSED = "OperationalError: (psycopg.OperationalError) connection to server at 10.0.0.1, port 5432 failed: refused"
LONG = {"supervisor": ABOUT, "children": [down("notification_events", state="backoff", last_error=REFUSED)]}
FAILED = {"state": "failed", "duration": 0.1, "finished": stamp(NOW - 4), "error": "ValueError: no such user\n  more"}


def shown(status: dict[str, object], columns: int | None) -> list[str]:
    return [text for text, _ in footer(status, columns)]


def many(count: int) -> dict[str, object]:
    return {
        "supervisor": ABOUT,
        "children": [down(f"task{n}", state="backoff", last_error=REFUSED) for n in range(count)],
    }


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (None, [f"1 problem: notification_events is in backoff: {REFUSED} (supervisor explain notification_events)"]),
        (
            140,
            [
                "1 problem: notification_events is in backoff: OperationalError…10.0.0.1, port 5432 failed: refused "
                "(supervisor explain notification_events)"
            ],
        ),
        (
            100,
            [
                "1 problem: notification_events is in backoff: OperationalError…10.0.0.1, port 5432 failed: refused",
                "           supervisor explain notification_events",
            ],
        ),
        (
            80,
            [
                "1 problem: notification_events is in backoff: OperationalError…failed: refused",
                "           supervisor explain notification_events",
            ],
        ),
        (
            60,
            [
                "1 problem: notification_events is in backoff: OperationalEr…",
                "           supervisor explain notification_events",
            ],
        ),
    ],
)
def test_the_reason_gives_way_and_never_the_command(columns: int | None, lines: list[str]) -> None:
    assert shown(LONG, columns) == lines


@pytest.mark.parametrize("columns", [140, 100, 80, 60])
@pytest.mark.parametrize("status", [LONG, many(10), {**STATUS, "supervisor": {**ABOUT, "demo": True}}])
def test_no_line_is_longer_than_the_terminal(status: dict[str, object], columns: int) -> None:
    assert max(map(width, shown(status, columns))) <= columns


def test_five_problems_are_shown_and_the_command_that_shows_all() -> None:
    found = shown(many(10), 140)
    assert [text.split()[0] for text in found] == ["10", "task1", "task2", "task3", "task4", "and"]
    assert found[-1] == "             and 5 more (supervisor status --check)"
    assert len(shown(many(5), 140)) == 5


def test_in_a_pipe_nothing_is_left_out() -> None:
    assert len(shown(many(10), None)) == 10


def test_a_task_whose_last_run_failed_is_a_warning_and_no_problem() -> None:
    status = {"supervisor": ABOUT, "children": [child("tick", last_run=FAILED), child("a")]}
    said = "1 warning: the last run of tick failed: ValueError: no such user (supervisor explain tick)"
    assert shown(status, None) == [said]


def test_the_reason_of_a_warning_gives_way_too() -> None:
    status = {"supervisor": ABOUT, "children": [child("tick", last_run={**FAILED, "error": REFUSED})]}
    assert shown(status, 80) == [
        "1 warning: the last run of tick failed: OperationalError…5432 failed: refused",
        "           supervisor explain tick",
    ]


def test_what_is_off_or_has_a_problem_already_is_no_warning_too() -> None:
    off = child("a", state="stopped", enabled=False, last_run=FAILED)
    bad = down("b", state="backoff", last_run=FAILED)
    skipped = child("c", last_run={"state": "skipped", "reason": "overlap"})
    assert warnings({"children": [off, bad, skipped, child("d")]}) == []


def test_a_run_that_took_too_long_is_a_warning_without_a_reason() -> None:
    found = warnings(
        {"children": [child("a", last_run={"state": "timed_out"}), child("b", last_run={"state": "lost"})]}
    )
    assert [each.text for each in found] == ["the last run of a timed out", "the last run of b was lost"]
