"""A slot that is run after all leaves the range of the missed, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.schedule.carve import carved, free, is_slot
from supervisor.core.schedule.missed import Range
from supervisor.core.schedule.slots import Every

TEN = Every(10)


def missed(first: float, last: float) -> Range:
    return Range(first, last, round((last - first) / 10) + 1, "missed", "down")


@pytest.mark.parametrize(
    ("whole", "slot", "left"),
    [
        (missed(100, 140), 120, (missed(100, 110), missed(130, 140))),
        (missed(100, 140), 100, (missed(110, 140),)),
        (missed(100, 140), 140, (missed(100, 130),)),
        (missed(100, 100), 100, ()),
    ],
)
def test_what_stays_are_the_slots_around_it(whole: Range, slot: float, left: tuple[Range, ...]) -> None:
    assert carved(TEN, whole, slot) == left


def test_the_ends_stay_where_another_schedule_put_them() -> None:
    assert carved(TEN, Range(97, 143, None, "missed", "late"), 120) == (
        Range(97, 110, 2, "missed", "late"),
        Range(130, 143, 2, "missed", "late"),
    )


def test_a_slot_is_on_the_grid() -> None:
    assert is_slot(TEN, 120)
    assert not is_slot(TEN, 121)


@given(first=st.integers(0, 50), count=st.integers(1, 50), at=st.integers(0, 49))
def test_together_they_are_the_whole(first: int, count: int, at: int) -> None:
    whole = missed(first * 10, (first + count - 1) * 10)
    slot = float((first + at % count) * 10)
    parts = carved(TEN, whole, slot)
    slots = [s for part in parts for s in TEN.between(part.first - 1, part.last)]
    assert sorted([*slots, slot]) == list(TEN.between(whole.first - 1, whole.last))
    assert sum(part.slots or 0 for part in parts) == count - 1


@given(
    first=st.integers(0, 20),
    count=st.integers(1, 30),
    taken=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), max_size=6),
)
def test_what_is_free_is_what_nothing_covers(first: int, count: int, taken: list[tuple[int, int]]) -> None:
    whole = missed(first * 10, (first + count - 1) * 10)
    spans = [(slot * 10.0, (slot + more) * 10.0 + 3) for slot, more in taken]  # an end may lie between two slots
    free_slots = [s for part in free(TEN, whole, spans) for s in TEN.between(part.first - 1, part.last)]
    every = TEN.between(whole.first - 1, whole.last)
    assert free_slots == [s for s in every if not any(begin <= s <= end for begin, end in spans)]
