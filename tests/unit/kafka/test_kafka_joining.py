"""A group that gives no answer for long is told, with what holds it up."""

from __future__ import annotations

import pytest

from supervisor.core.kafka.joining import Joining


def waited(join: Joining, *moments: float) -> list[bool]:
    return [join.look(now, waits=True) for now in moments]


def test_it_is_too_long_after_the_time() -> None:
    join = Joining(4.0)
    assert waited(join, 10.0, 12.0, 13.9, 14.0) == [False, False, False, True]


def test_an_answer_or_a_broker_that_is_away_begins_the_time_anew() -> None:
    join = Joining(4.0)
    waited(join, 10.0, 12.0)
    assert join.look(13.0, waits=False) is False
    assert waited(join, 14.0, 15.0, 16.0) == [False, False, False]


def test_time_in_which_this_process_was_frozen_counts_little() -> None:
    assert waited(Joining(4.0), 10.0, 4000.0, 4001.0) == [False, False, False]


@pytest.mark.parametrize(
    ("seconds", "state", "join_state", "words"),
    [
        (0.0, "up", "wait-join", 'its partitions from group "g"'),
        (99.0, "query-coord", "init", 'its partitions from group "g"'),
        (130.0, "up", "wait-sync", 'its partitions from group "g" for more than 1m40s; another member holds the'
         " rebalance up: a slow one may, for as long as its max.poll.interval.ms"),
        (250.0, "wait-broker-transport", "init", 'its partitions from group "g" for more than 3m20s; its coordinator is'
         " not there: look at the brokers, and whether __consumer_offsets has leaders"),
        (399.0, "up", "init", 'its partitions from group "g" for more than 5m'),
    ],
)  # fmt: skip
def test_the_words_say_for_how_long_and_what_is_likely(seconds: float, state: str, join_state: str, words: str) -> None:
    assert Joining(400.0, seconds).words("g", state, join_state) == words
