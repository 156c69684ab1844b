"""The lag is counted to the first record that is not handled."""

from __future__ import annotations

import json
from typing import Any

import pytest

from supervisor.core.kafka.lag import Standing, Statistics, facts, read, standings, with_ends

STATS: dict[str, Any] = {
    "brokers": {"b:1/bootstrap": {"state": "DOWN"}, "b:1/1": {"state": "UP"}},
    "cgrp": {"state": "up", "stateage": 100, "join_state": "steady"},
    "topics": {
        "t": {
            "partitions": {
                "0": {"hi_offset": 50, "ls_offset": 50, "committed_offset": 20, "next_offset": 50},
                "1": {"hi_offset": 9, "ls_offset": -1001, "committed_offset": -1001, "next_offset": 4},
                "2": {"hi_offset": -1001, "ls_offset": -1001, "committed_offset": -1001, "next_offset": -1001},
                "-1": {"hi_offset": 7},
            }
        }
    },
}


def test_statistics_give_ends_starts_and_the_state_of_broker_and_group() -> None:
    found = read(STATS)
    ends, starts = {("t", 0): 50, ("t", 1): 9}, {("t", 0): 20, ("t", 1): 4}
    fetched = {("t", 0): 50, ("t", 1): 4}
    assert found == Statistics(ends, starts, True, True, fetched, group=("up", "steady"))


def test_statistics_tell_what_is_in_the_way_of_a_partition() -> None:
    numbers = {"hi_offset": 9, "ls_offset": 4, "app_offset": 3, "next_offset": 4, "fetchq_cnt": 2, "leader": -1}
    found = read({"topics": {"t": {"partitions": {"0": numbers, "1": {"leader": 1}}}}})
    place = ("t", 0)
    assert (found.delivered, found.queued, found.locked) == ({place: 3}, {place: 2}, {place: (4, 9)})
    assert found.leaderless == {place}


@pytest.mark.parametrize(("numbers", "lag"), [({}, 0), ({"next_offset": 49}, 8), ({"fetchq_cnt": 1}, 8)])
def test_what_follows_the_last_record_and_is_none_is_no_lag(numbers: dict[str, int], lag: int) -> None:
    read_to_the_end = {"hi_offset": 50, "ls_offset": 50, "next_offset": 50, "fetchq_cnt": 0, **numbers}
    statistics = read({"topics": {"t": {"partitions": {"0": read_to_the_end}}}})
    place = ("t", 0)
    assert standings([place], {place: 42}, statistics, [], [place])[0].lag == lag
    assert standings([place], {place: 42}, statistics, [], [])[0].lag == 8, "records of it are being handled"
    assert standings([place], {place: 42}, statistics, [place], [place])[0].lag == 8, "it is paused"
    assert standings([place], {place: 42}, None, [], [place])[0].lag is None
    assert standings([("u", 0)], {}, statistics, [], [("u", 0)])[0].lag is None


@pytest.mark.parametrize(
    ("group", "joined"),
    [
        ({"join_state": "init", "state": "up", "stateage": 9_999}, False),
        ({"join_state": "init", "state": "up", "stateage": 10_000}, True),
        ({"join_state": "init", "state": "query-coord", "stateage": 99_000}, False),
        ({}, False),
    ],
)
def test_a_member_without_partitions_has_joined_after_a_while(group: dict[str, Any], joined: bool) -> None:
    assert read({"cgrp": group}).joined is joined


@pytest.mark.parametrize(
    "stats",
    [
        {},
        {"topics": 3, "brokers": [], "cgrp": "x"},
        {"topics": {"t": {"partitions": {"0": 1, "1": {"hi_offset": "x"}}}}, "brokers": {"b": 1}},
    ],
)
def test_statistics_of_another_shape_say_nothing(stats: dict[str, Any]) -> None:
    assert read(stats) == Statistics({}, {}, False, False)


def test_a_partition_stands_at_what_was_handled_or_where_reading_began() -> None:
    assigned = [("t", 1), ("t", 0), ("u", 0)]
    assert standings(assigned, {("t", 0): 30}, read(STATS), [("t", 1)]) == [
        Standing("t", 0, 30, 20, False),
        Standing("t", 1, 4, 5, True),
        Standing("u", 0, None, None, False),
    ]


def test_before_the_first_statistics_there_is_no_lag() -> None:
    assert standings([("t", 0)], {("t", 0): 3}, None, []) == [Standing("t", 0, 3, None, False)]
    assert standings([("t", 0)], {}, None, []) == [Standing("t", 0, None, None, False)]


def test_a_position_before_the_end_known_so_far_is_no_negative_lag() -> None:
    assert standings([("t", 0)], {("t", 0): 60}, read(STATS), [])[0].lag == 0


def test_an_end_known_from_elsewhere_counts_when_it_is_later() -> None:
    found = with_ends(read(STATS), {("t", 0): 80, ("t", 1): 3, ("u", 0): 7})
    assert found.ends == {("t", 0): 80, ("t", 1): 9, ("u", 0): 7}


def test_the_sum_is_of_what_is_known() -> None:
    known, unknown = Standing("t", 0, 3, 5, False), Standing("t", 1, None, None, False)
    assert facts([known, unknown])["lag"] == 5
    assert facts([unknown])["lag"] is None
    assert facts([])["lag"] == 0


def test_of_many_partitions_the_worst_are_shown_and_fit_a_frame() -> None:
    many = [Standing("t" * 20, n, n, n, n == 3) for n in range(200)]
    found = facts(many)
    shown = found["partitions"]
    assert found["partitions_total"] == 200
    assert found["lag"] == sum(range(200))
    assert [each["partition"] for each in shown] == sorted(each["partition"] for each in shown)
    assert {3, 199} <= {each["partition"] for each in shown}
    assert len(json.dumps(shown)) < 3900
    assert len(facts([Standing("t" * 249, n, 10**12, 10**12, True) for n in range(50)])["partitions"]) < 40
    assert len(facts([Standing("t", n, 1, 1, False) for n in range(50)])["partitions"]) <= 40
