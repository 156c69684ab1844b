"""A bug must not drain a topic into its dead-letter topic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.kafka.letter_limit import LetterLimit, Tally


def test_so_many_in_a_row_and_no_more() -> None:
    tally = Tally(LetterLimit(consecutive=3, ratio=1))
    for _ in range(3):
        assert tally.refusal() == ""
        tally.letter()
    assert tally.refusal() == "3 dead letters in a row (dead_letter_limit.consecutive = 3)"


def test_a_record_that_is_handled_ends_the_row() -> None:
    tally = Tally(LetterLimit(consecutive=2, ratio=1))
    for _ in range(10):
        tally.letter()
        tally.handled()
        assert tally.refusal() == ""


def test_a_share_of_the_last_records_and_no_more() -> None:
    tally = Tally(LetterLimit(consecutive=100, ratio=0.5, window=4))
    for _ in range(2):
        tally.letter()
        tally.handled()
    assert tally.refusal() == "2 of the last 4 records became dead letters (dead_letter_limit.ratio = 0.5 of 4)"
    tally.handled()
    assert tally.refusal() == ""


@given(st.lists(st.booleans(), max_size=300), st.integers(1, 20), st.floats(0, 1), st.integers(1, 20))
def test_letters_never_exceed_the_limit_whatever_comes(
    bad: list[bool], window: int, ratio: float, consecutive: int
) -> None:
    tally = Tally(LetterLimit(ratio=ratio, window=window, consecutive=consecutive))
    outcomes: list[bool] = []
    for is_bad in bad:
        if is_bad and tally.refusal():
            break
        (tally.letter if is_bad else tally.handled)()
        outcomes.append(is_bad)
    for end in range(len(outcomes) + 1):
        assert ratio == 1 or sum(outcomes[max(0, end - window) : end]) <= ratio * window
        assert sum(outcomes[max(0, end - consecutive - 1) : end]) <= consecutive
