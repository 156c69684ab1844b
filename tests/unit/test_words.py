"""Times, sizes and widths as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.words import ago, coarse, cut, epoch, short, size, width


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (0.0004, "0ms"),
        (0.004, "4ms"),
        (0.21, "0.21s"),
        (3.84, "3.8s"),
        (8, "8s"),
        (59.7, "1m"),
        (125, "2m05s"),
        (3600, "1h"),
        (8040, "2h14m"),
        (273600, "3d4h"),
        (-5, "0s"),
        (math.inf, "?"),
        (math.nan, "0s"),
    ],
)
def test_a_duration_is_short(seconds: float, shown: str) -> None:
    assert short(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.9, "0s"), (12.3, "12s"), (250, "4m"), (8070, "2h14m"), (100_000, "1d3h"), (200_000, "2d"), (math.nan, "?")],
)
def test_a_coarse_one_leaves_out_what_does_not_matter(seconds: float, shown: str) -> None:
    assert coarse(seconds) == shown
    assert ago(seconds) == f"{shown} ago"


@pytest.mark.parametrize(
    ("amount", "shown"), [(0, "0B"), (1023, "1023B"), (1024, "1K"), (39845888, "38M"), (1024**3 * 1.25, "1.2G")]
)
def test_a_size_has_one_unit(amount: float, shown: str) -> None:
    assert size(amount) == shown


@pytest.mark.parametrize(
    ("time", "found"),
    [
        ("2026-11-25T14:02:41.440Z", 1_795_615_361.44),
        ("2026-11-25T15:02:41+01:00", 1_795_615_361.0),
        (1_795_615_361, 1_795_615_361.0),
        ("noon", None),
        (None, None),
        (True, None),
        (math.inf, None),
        (math.nan, None),
        (1e300, None),
    ],
)
def test_an_instant_is_read_from_text_or_number(time: object, found: float | None) -> None:
    assert epoch(time) == found


def test_wide_and_combining_characters_count_as_the_terminal_shows_them() -> None:
    assert [width(text) for text in ("abc", "東京", "e\u0301", "●")] == [3, 4, 1, 1]


@given(st.text(max_size=30), st.integers(0, 20))
def test_a_cut_text_fits(text: str, columns: int) -> None:
    assert width(cut(text, columns)) <= columns or width(text) <= columns
    assert cut(text, width(text)) == text


@given(st.floats())
def test_every_number_has_a_word(seconds: float) -> None:
    assert short(seconds)
    assert coarse(seconds)
