"""At most so many records in a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.kafka.pace import Pace, parse


def test_rates_are_read() -> None:
    assert [parse(text) for text in ("100/s", "600/m", "1800/h")] == [100.0, 10.0, 0.5]


@pytest.mark.parametrize("text", ["", "100", "0/s", "-1/s", "1.5/s", "100/d", "100 /s", "9" * 12 + "/s", "１/s"])
def test_other_texts_are_no_rates(text: str) -> None:
    with pytest.raises(ValueError, match="a rate like"):
        parse(text)


def test_what_was_not_used_for_a_second_may_follow_at_once() -> None:
    pace = Pace(10.0)
    for _ in range(10):
        assert pace.wait(100.0) == 0.0
        pace.begin(1, 100.0)
    assert pace.wait(100.0) == 0.0
    pace.begin(1, 100.0)
    assert pace.wait(100.0) == pytest.approx(0.1)
    assert pace.wait(101.0) == 0.0


@given(st.integers(1, 1000), st.lists(st.tuples(st.floats(0, 3), st.integers(1, 5)), min_size=1, max_size=100))
def test_over_any_time_no_more_begin_than_allowed(rate: int, calls: list[tuple[float, int]]) -> None:
    pace, now = Pace(float(rate)), 0.0
    begun: list[tuple[float, int]] = []
    for idle, count in calls:
        now += idle
        now += pace.wait(now)
        pace.begin(count, now)
        begun.append((now, count))
    for first in range(len(begun)):
        total = 0
        for at, count in begun[first:-1]:
            total += count
            assert total <= rate * (at - begun[first][0] + 1.0) + count + 1e-6
