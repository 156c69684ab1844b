"""Only the offset behind an unbroken run of handled records may be committed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.kafka.gaps import decode, encode
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


def test_the_runs_behind_an_open_record_are_told() -> None:
    made = prefix(5, 6, 9, 10, 11)
    for offset in (6, 9, 11):
        made.finish(offset)
    assert made.done() == [(6, 9), (11, 11)]
    made.finish(5)
    assert (made.committable, made.done(), made.open) == (10, [(11, 11)], 2)
    assert prefix(5).done() == []


def test_what_another_handled_is_not_handled_again() -> None:
    made = Prefix(None, [(6, 7), (9, 9)], least=5)
    assert [made.take(offset) for offset in range(5, 11)] == [True, False, False, True, False, True]
    assert made.finish(5)
    assert made.committable == 8
    assert made.finish(8)
    assert (made.committable, made.position) == (10, 10)


def test_a_handled_record_with_none_open_before_it_moves_the_offset() -> None:
    made = Prefix(5, [(5, 6)])
    assert not made.take(5)
    assert (made.committable, made.open) == (6, 0)


def test_what_is_known_and_not_read_yet_is_told_on() -> None:
    made = Prefix(None, [(6, 9)], least=5)
    assert made.done() == [(6, 9)]
    made.take(5)
    made.take(6)
    made.take(7)
    assert made.done() == [(6, 7), (8, 9)]


def test_reading_from_further_back_forgets_what_was_known() -> None:
    """The topic was made anew under its name: the old offsets are other records."""
    made = Prefix(None, [(6, 9)], least=5)
    assert [made.take(offset) for offset in range(3, 8)] == [True] * 5


def test_runs_that_were_passed_are_forgotten() -> None:
    made = Prefix(None, [(6, 6), (20, 20)], least=5)
    assert made.take(15)
    assert not made.take(20)
    assert made.take(21)


def test_a_record_that_is_left_for_later_is_where_reading_goes_on() -> None:
    made = Prefix()
    made.wait_at(7)
    assert (made.position, made.committable) == (7, 7)
    behind = prefix(5)
    behind.wait_at(6)
    assert (behind.position, behind.committable) == (5, None)
    behind.finish(5)
    behind.wait_at(9)
    assert behind.position == 6


@given(st.permutations(range(30)), st.integers(0, 30), st.integers(0, 30))
def test_who_takes_over_handles_each_open_record_once_and_no_other(order: list[int], handled: int, again: int) -> None:
    first = prefix(*range(30))
    for offset in order[:handled]:
        first.finish(offset)
    base = first.position or 0
    second = Prefix(None, first.done(), least=base)
    taken = []
    for offset in range(base, 30):
        if second.take(offset):
            taken.append(offset)
        at = second.position if second.position is not None else base
        told = second.done()
        assert all(at <= run[0] <= run[1] for run in told), "only what lies behind the position"
        assert decode(at, encode(at, told)) == told
    assert sorted([*order[:handled], *taken]) == list(range(30))
    for offset in taken[:again]:
        second.finish(offset)
    done = {*order[:handled], *taken[:again]}
    assert (second.position if second.position is not None else base) == next(
        (n for n in range(30) if n not in done), 30
    )


@given(st.permutations(range(8)), st.integers(0, 8))
def test_many_at_once_are_finished_as_one_by_one(order: list[int], cut: int) -> None:
    one_by_one, at_once = Prefix(), Prefix()
    for prefix in (one_by_one, at_once):
        for offset in range(8):
            prefix.take(offset)
    for part in (order[:cut], order[cut:]):
        moved = [one_by_one.finish(offset) for offset in part]
        assert at_once.finish_all(part) is any(moved)
        assert (at_once.committable, at_once.position) == (one_by_one.committable, one_by_one.position)
        assert (at_once.open, at_once.done()) == (one_by_one.open, one_by_one.done())
