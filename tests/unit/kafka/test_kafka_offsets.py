"""Only the offset behind an unbroken run of handled records may be committed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.kafka.offsets import Prefix


def prefix(*offsets: int) -> Prefix:
    made = Prefix()
    for offset in offsets:
        made.take(offset)
    return made


def test_nothing_is_committable_before_the_first_record_is_handled() -> None:
    made = prefix(5, 6)
    assert (made.committable, made.position) == (None, 5)


def test_in_order_each_handled_record_moves_it() -> None:
    made = prefix(5, 6)
    assert made.finish(5)
    assert (made.committable, made.position) == (6, 6)
    assert made.finish(6)
    assert (made.committable, made.position) == (7, 7)


def test_a_record_handled_early_waits_for_those_before_it() -> None:
    made = prefix(5, 6, 7)
    assert not made.finish(6)
    assert made.committable is None
    assert made.finish(5)
    assert made.committable == 7


def test_gaps_of_a_compacted_topic_are_no_missing_records() -> None:
    made = prefix(5, 9, 200)
    for offset in (9, 200, 5):
        made.finish(offset)
    assert made.committable == 201


def test_it_goes_on_from_what_was_committable_before() -> None:
    made = Prefix(40)
    assert (made.committable, made.position) == (40, 40)


def test_a_record_that_was_not_taken_moves_nothing() -> None:
    assert not Prefix().finish(3)


@given(st.permutations(range(12)), st.integers(0, 12))
def test_whatever_the_order_nothing_unhandled_is_passed(order: list[int], handled: int) -> None:
    made = prefix(*range(12))
    done = set(order[:handled])
    for offset in order[:handled]:
        made.finish(offset)
    first_open = next((n for n in range(12) if n not in done), 12)
    assert (made.committable or 0) == first_open
