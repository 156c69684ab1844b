from __future__ import annotations

import doctest

from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.lifecycle import backoff
from supervisor.core.lifecycle.backoff import delay

counts = st.integers(0, 10_000)
seconds = st.floats(0.01, 1e6)
shares = st.floats(0.0, 1.0)
draws = st.floats(0.0, 1.0, exclude_max=True)


def test_the_examples_in_the_docstring_hold() -> None:
    failed, tried = doctest.testmod(backoff)
    assert (failed, tried) == (0, 2)


@given(counts, seconds, seconds, shares, draws)
def test_a_wait_is_between_the_cap_and_what_jitter_takes_away(
    count: int, base: float, cap: float, jitter: float, draw: float
) -> None:
    wait = delay(count, base=base, cap=cap, jitter=jitter, draw=draw)
    assert 0.0 <= wait <= cap
    full = delay(count, base=base, cap=cap, jitter=0.0, draw=0.0)
    assert full * (1 - jitter) <= wait * (1 + 1e-9)
    assert wait <= full


@given(counts, seconds, seconds)
def test_without_jitter_waits_never_become_shorter(count: int, base: float, cap: float) -> None:
    first, second = (delay(n, base=base, cap=cap, jitter=0.0, draw=0.0) for n in (count, count + 1))
    assert first <= second


def test_children_that_died_together_do_not_start_together() -> None:
    waits = {delay(5, base=1, cap=30, jitter=0.2, draw=draw / 10) for draw in range(10)}
    assert len(waits) == 10
