"""From the journal it can be told why a slot was missed: down, or disabled."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.journal import (
    Event,
    What,
    compact,
    disabled_periods,
    down_periods,
    from_line,
    to_line,
    toggles,
)

_WHATS: list[What] = ["up", "alive", "down", "enabled", "disabled"]


def _lines(*told: tuple[float, What] | tuple[float, What, str]) -> list[str]:
    return [to_line(Event(*each)) for each in told]


def test_a_line_comes_back_as_it_was() -> None:
    for event in (Event(1.5, "up"), Event(2.0, "disabled", "orders")):
        assert from_line(to_line(event)) == event


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "1",
        "null",
        '"up"',
        "{}",
        '{"time": 1}',
        '{"time": "1", "what": "up"}',
        '{"time": NaN, "what": "up"}',
        '{"time": true, "what": "up"}',
        '{"time": 1e999, "what": "up"}',
        '{"time": 1, "what": "born"}',
        '{"time": 1, "what": ["up"]}',
        '{"time": 1, "what": "enabled", "name": 5}',
        "[" * 100_000,
        '{"time": 1, "what": "up"',
        "9" * 5000,
        '{"time": 1%s, "what": "up"}' % ("0" * 400),
    ],
)
def test_a_line_that_cannot_be_understood_is_nothing(line: str) -> None:
    assert from_line(line) is None
    assert down_periods([*_lines((10, "up"), (20, "down")), line, *_lines((30, "up"))]) == [(20, 30)]


def test_between_a_stop_and_the_next_start_it_was_down() -> None:
    assert down_periods(_lines((10, "up"), (70, "alive"), (80, "down"), (200, "up"))) == [(80, 200)]


def test_after_a_kill_it_was_down_from_the_last_sign_of_life() -> None:
    assert down_periods(_lines((10, "up"), (70, "alive"), (130, "alive"), (500, "up"))) == [(130, 500)]
    assert down_periods(_lines((10, "up"), (500, "up"))) == [(10, 500)]
    assert down_periods(_lines((10, "up"), (90, "disabled", "a"), (500, "up"))) == [(90, 500)]


def test_after_the_last_stop_it_is_down_with_no_end_yet() -> None:
    assert down_periods(_lines((10, "up"), (80, "down"))) == [(80, math.inf)]
    assert down_periods(_lines((10, "up"), (80, "down"), (90, "disabled", "a"))) == [(80, math.inf)]


def test_before_the_first_line_nothing_is_claimed_and_while_up_nothing_is_down() -> None:
    assert down_periods([]) == []
    assert down_periods(_lines((10, "up"), (70, "alive"))) == []


def test_a_child_is_disabled_from_its_toggle_to_the_next_whatever_the_supervisor_does() -> None:
    lines = _lines(
        (10, "up"), (20, "disabled", "a"), (25, "disabled", "a"), (30, "down"), (40, "up"), (50, "enabled", "a")
    )
    assert disabled_periods(lines, "a") == [(20, 50)]
    assert disabled_periods(lines, "b") == []
    assert disabled_periods([*lines, *_lines((60, "disabled", "a"))], "a") == [(20, 50), (60, math.inf)]
    assert disabled_periods(_lines((5, "enabled", "a")), "a") == []


def test_a_clock_that_was_set_back_makes_no_period_that_ends_before_it_begins() -> None:
    assert down_periods(_lines((1000, "up"), (1100, "down"), (500, "up"))) == []
    assert disabled_periods(_lines((100, "disabled", "a"), (50, "enabled", "a")), "a") == []


def test_the_last_toggle_of_each_child_is_known() -> None:
    assert toggles(_lines((1, "disabled", "a"), (2, "enabled", "b"), (3, "enabled", "a"))) == {"a": True, "b": True}


_events = st.lists(st.tuples(st.floats(0, 50), st.sampled_from(_WHATS), st.sampled_from(["a", "b"])), max_size=40).map(
    lambda steps: _told(steps)
)


def _told(steps: list[tuple[float, What, str]]) -> list[str]:
    now, lines = 1000.0, []
    for step, what, name in steps:
        now += step
        lines.append(to_line(Event(now, what, name if what in ("enabled", "disabled") else "")))
    return lines


@given(_events)
def test_compacting_with_room_changes_no_answer(lines: list[str]) -> None:
    shorter = compact(lines, limit=1_000_000)
    assert len(shorter) <= len(lines)
    assert down_periods(shorter) == down_periods(lines)
    for name in ("a", "b"):
        assert disabled_periods(shorter, name) == disabled_periods(lines, name)


@given(_events, st.integers(0, 800))
def test_compacting_without_room_claims_nothing_new_and_forgets_no_toggle(lines: list[str], limit: int) -> None:
    shorter = compact(lines, limit)
    assert sum(len(line) + 1 for line in shorter) <= limit + 2 * len(_lines((1000.123, "disabled", "a"))[0]) + 2
    before = down_periods(lines)
    assert all(any(a <= start and end <= b for a, b in before) for start, end in down_periods(shorter))
    assert toggles(shorter) == toggles(lines)


def test_a_toggle_of_long_ago_is_followed_by_no_start() -> None:
    """Toggle and start side by side would read as: down all the time in between."""
    lines = _lines((1.0, "disabled", "a"), (900.0, "up"), (901.0, "down"), (902.0, "up"))
    limit = sum(len(line) + 1 for line in lines[1:])
    assert compact(lines, limit) == [lines[0], *lines[2:]]


def test_minutes_of_life_shrink_to_the_last_one() -> None:
    lines = _lines((0.0, "up"), *[(60.0 * minute, "alive") for minute in range(1, 1000)])
    assert compact(lines, 1_000_000) == _lines((0.0, "up"), (59_940.0, "alive"))
