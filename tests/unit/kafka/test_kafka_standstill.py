"""A partition that stands still with records to read is seen; one that has a reason is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supervisor.core.kafka.standstill import Look, Standstills, stands

PLACE, OTHER = ("t", 3), ("t", 4)
STILL = Look(position=120, end=177, fetched=120, delivered=120, room=10_000)


@pytest.mark.parametrize(
    ("look", "flows", "expected"),
    [
        (STILL, True, True),
        (STILL, False, True),
        (replace(STILL, fetched=None, delivered=None), True, True),
        (replace(STILL, position=177), True, False),  # all is handled
        (replace(STILL, position=None), True, False),
        (replace(STILL, end=None), True, False),  # the broker did not say
        (replace(STILL, excused=True), False, False),
        (replace(STILL, fetched=177), True, False),  # no records follow: compacted, or marks of transactions
        (replace(STILL, fetched=177, queued=3), True, False),  # ours wait in the client's queue behind others
        (replace(STILL, fetched=177, queued=3), False, True),  # and nobody takes them
        (replace(STILL, fetched=177, queued=3, delivered=None), True, False),
        (replace(STILL, queued=3), True, True),  # those in the queue are of others
        (replace(STILL, queued=5_000), True, False),  # it is full, so nothing is fetched
        (replace(STILL, queued=5_000), False, True),
    ],
)
def test_what_stands_still(look: Look, flows: bool, expected: bool) -> None:
    assert stands(look, flows=flows) is expected


def looked(stalls: Standstills, *looks: tuple[float, Look]) -> list[int]:
    """How many were found at each look."""
    return [len(stalls.look({PLACE: look}, now, flows=False)) for now, look in looks]


def test_it_is_said_after_the_time_in_words_that_name_the_place() -> None:
    stalls = Standstills(120.0)
    assert stalls.every == 30.0
    assert looked(stalls, *((30.0 * n, STILL) for n in range(4))) == [0, 0, 0, 0]
    (found,) = stalls.look({PLACE: STILL}, 120.0, flows=False)
    assert (found.place, found.position, found.end, found.seconds) == (PLACE, 120, 177, 120.0)
    assert found.words() == "t[3] has stood at 120 for 2m, though the broker has 57 offsets more, up to 177"


def test_a_step_further_begins_the_time_anew() -> None:
    further = replace(STILL, position=121)
    looks = [(30.0, STILL), (60.0, STILL), (90.0, further), (120.0, further), (150.0, further), (180.0, further)]
    assert looked(Standstills(120.0), (0.0, STILL), *looks, (210.0, further)) == [0, 0, 0, 0, 0, 0, 0, 1]


def test_one_look_that_excuses_it_begins_the_time_anew() -> None:
    looks = [(0.0, STILL), (30.0, STILL), (60.0, STILL), (90.0, replace(STILL, excused=True)), (120.0, STILL)]
    assert looked(Standstills(120.0), *looks, (150.0, STILL)) == [0] * 6


def test_a_look_without_an_answer_begins_the_time_anew() -> None:
    stalls = Standstills(120.0)
    looked(stalls, (0.0, STILL), (30.0, STILL), (60.0, STILL), (90.0, STILL))
    assert stalls.look({}, 120.0, flows=False) == []
    assert looked(stalls, (150.0, STILL), (180.0, STILL)) == [0, 0]


def test_time_in_which_this_process_was_frozen_accuses_nobody() -> None:
    assert looked(Standstills(120.0), (0.0, STILL), (3600.0, STILL), (3630.0, STILL), (3660.0, STILL)) == [0, 0, 0, 1]


def test_each_partition_has_its_own_time() -> None:
    stalls = Standstills(60.0)
    for now in (0.0, 15.0):
        stalls.look({PLACE: STILL}, now, flows=False)
    found = [stalls.look({PLACE: STILL, OTHER: STILL}, now, flows=False) for now in (30.0, 45.0, 60.0, 90.0)]
    assert [[stall.place for stall in each] for each in found] == [[], [], [PLACE], [PLACE, OTHER]]
