"""A name that nothing has: the near one, or all there are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.names import hint, no_task, unknown


def test_a_near_name_is_suggested() -> None:
    assert unknown("child", "ordres", ["orders", "task1"]) == "there is no child 'ordres'; did you mean 'orders'?"


def test_what_is_not_near_is_no_suggestion_but_all_names_are_shown() -> None:
    assert unknown("child", "nope", ["invoices", "broker"]) == "there is no child 'nope'; children: broker, invoices"
    assert unknown("task", "nope", ["invoices"]) == "there is no task 'nope'; tasks: invoices"


def test_what_is_no_task_has_no_runs() -> None:
    assert no_task("reader") == "'reader' is no task: only tasks have runs"


def test_where_nothing_is_nothing_is_shown() -> None:
    assert unknown("task", "nope", []) == "there is no task 'nope'"


@given(st.text(max_size=200), st.lists(st.text(max_size=50), max_size=50))
def test_however_many_and_long_the_names_it_stays_short(name: str, known: list[str]) -> None:
    assert len(unknown("child", name, known)) <= 1200
    assert len(hint("child", name, known)) <= 300 or hint("child", name, known).startswith("did you mean")
