"""The runs of a task as a table."""

from __future__ import annotations

import pytest

from supervisor.cli.history import table
from supervisor.cli.past import instant
from support.statuses import NOW

SKIPPED = {"slot": NOW - 60, "kind": "schedule", "state": "skipped", "reason": "overlap"}
ERROR = (
    "OperationalError: refused\n\tIs the server running?\n(Background on this error at: https://sqlalche.me/e/20/e3)"
)


@pytest.mark.parametrize(
    ("slots", "shown"),
    [(1, "○ skipped"), (None, "○ skipped"), (0, "○ skipped"), (7, "○ skipped (7 slots)"), ("x", "○ skipped")],
)
def test_only_more_than_one_slot_is_counted(slots: object, shown: str) -> None:
    assert table([{**SKIPPED, "slots": slots}], None, NOW).rows[0][2].text == shown


def test_of_an_error_it_shows_the_line_that_says_it() -> None:
    assert table([{"state": "failed", "error": ERROR}], None, NOW).rows[0][-1].text == "OperationalError: refused"
    traceback = 'Traceback (most recent call last):\n  File "x.py", line 1\nValueError: no'
    assert table([{"state": "failed", "error": traceback}], None, NOW).rows[0][-1].text == "ValueError: no"


def test_an_error_is_cut_at_a_word() -> None:
    made = table([{"state": "failed", "error": "one two three four five six seven"}], 60, NOW)
    assert made.rows[0][-1].text == "one two three four…"


def test_of_a_range_it_shows_the_last_slot_too() -> None:
    night = {**SKIPPED, "slots": 7, "state": "missed", "reason": "down"}
    (row,) = table([{**night, "last": NOW}], None, NOW).rows
    assert (row[0].text, row[-1].text) == (instant(NOW - 60), f"down, to {instant(NOW)}")
    (row,) = table([{**night, "last": NOW - 60}], None, NOW).rows
    assert row[-1].text == "down"


def test_what_ended_by_a_clock_that_was_ahead_is_still_to_come() -> None:
    (row,) = table([{"state": "ok", "finished": NOW + 2 * 3600}], None, NOW).rows
    assert row[6].text == "in 2h"
