"""What a reload says it changes."""

from __future__ import annotations

from supervisor.cli.reload import plan

CHANGES = [
    {"change": "update", "name": "notifications", "what": "every 30s → 1m"},
    {"change": "restart", "name": "orders", "what": "topics +users"},
    {"change": "add", "name": "invoices", "what": "new"},
    {"change": "remove", "name": "old", "what": ""},
    {"change": "toggle", "name": "task2", "what": "enabled true → false"},
]
LATER = {"change": "supervisor", "name": "supervisor", "what": "preload +x: in force after the next start"}


def test_a_line_per_change_in_columns() -> None:
    assert plan(CHANGES, coloured=False) == [
        "~ notifications  every 30s → 1m        no restart",
        "~ orders         topics +users         restart when the run or records in hand are done",
        "+ invoices       new                   start",
        "- old                                  stop when the run or records in hand are done",
        "~ task2          enabled true → false",
    ]


def test_what_must_wait_for_the_next_start_has_a_sign_of_its_own() -> None:
    assert plan([LATER], coloured=False) == ["! supervisor  preload +x: in force after the next start"]


def test_what_came_from_the_file_is_escaped() -> None:
    assert plan([{"change": "add", "name": "a\x1b", "what": "b\nc"}], coloured=False) == [r"+ a\x1b  b c  start"]


def test_only_the_sign_has_a_colour() -> None:
    assert plan(CHANGES[2:3], coloured=True) == ["\x1b[32m+\x1b[0m invoices  new  start"]
