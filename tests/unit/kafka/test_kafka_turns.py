"""No partition waits behind a long run of another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.kafka.turns import in_turns


def first(item: tuple[str, int]) -> str:
    return item[0]


def test_partitions_take_turns() -> None:
    items = [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("c", 1), ("b", 2)]
    assert in_turns(items, first) == [("a", 1), ("b", 1), ("c", 1), ("a", 2), ("b", 2), ("a", 3)]


def test_one_partition_stays_as_it_is() -> None:
    items = [("a", 1), ("a", 2)]
    assert in_turns(items, first) is items


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers()), max_size=60))
def test_nothing_is_lost_and_each_partition_stays_in_order(items: list[tuple[str, int]]) -> None:
    turned = in_turns(items, first)
    for partition in "abc":
        assert [i for i in turned if i[0] == partition] == [i for i in items if i[0] == partition]
    assert len(turned) == len(items)
