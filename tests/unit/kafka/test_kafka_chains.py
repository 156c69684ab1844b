"""Lanes: of one key or partition one at a time and in order; between them no order, and nobody starves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.kafka.chains import Chains


def test_of_one_chain_one_at_a_time() -> None:
    made: Chains[int] = Chains()
    for number in (1, 2):
        made.add("a", number)
    made.add("b", 3)
    assert (made.take(), made.take(), made.take()) == (("a", [1]), ("b", [3]), None)
    made.done("a")
    assert made.take() == ("a", [2])
    assert made.waiting == 0


def test_several_of_one_chain_are_taken_together() -> None:
    made: Chains[int] = Chains()
    for number in range(5):
        made.add("a", number)
    assert made.take(3) == ("a", [0, 1, 2])
    made.done("a")
    assert made.take(3) == ("a", [3, 4])


def test_chains_take_turns() -> None:
    made: Chains[int] = Chains()
    for number in range(4):
        made.add("long", number)
    made.add("short", 9)
    seen = []
    while taken := made.take():
        seen.append(taken)
        made.done(taken[0])
    assert seen[:3] == [("long", [0]), ("short", [9]), ("long", [1])]


def test_what_comes_while_its_chain_is_in_hand_waits() -> None:
    made: Chains[int] = Chains()
    made.add("a", 1)
    assert made.take() == ("a", [1])
    made.add("a", 2)
    assert made.take() is None
    made.done("a")
    assert made.take() == ("a", [2])


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=200), st.integers(1, 4))
def test_whatever_comes_in_whatever_order_each_chain_is_served_whole_and_in_order(
    events: list[tuple[int, bool]], most: int
) -> None:
    made: Chains[tuple[int, int]] = Chains()
    added: dict[int, list[int]] = {}
    served: dict[int, list[int]] = {}
    in_hand: list[int] = []

    def serve() -> bool:
        taken = made.take(most)
        if taken is None:
            return False
        chain, items = taken
        assert chain not in in_hand
        assert 1 <= len(items) <= most
        in_hand.append(int(str(chain)))
        served.setdefault(int(str(chain)), []).extend(number for _, number in items)
        return True

    for number, (chain, finishes) in enumerate(events):
        made.add(chain, (chain, number))
        added.setdefault(chain, []).append(number)
        serve()
        if finishes and in_hand:
            made.done(in_hand.pop(0))
    while serve() or in_hand:
        while in_hand:
            made.done(in_hand.pop())
    assert served == added
    assert made.waiting == 0
