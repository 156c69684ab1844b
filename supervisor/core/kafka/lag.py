"""librdkafka's statistics to what `status` shows.

The lag is counted to the first record that is not handled, not to the last one fetched: a stuck handler has a lag.
Source: librdkafka's STATISTICS.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Place = tuple[str, int]  # topic, partition

SPARE_AFTER = 10_000  # milliseconds with the group's coordinator: two of its heartbeats
SHOWN = 40  # partitions in one message to the parent
SHOWN_CHARACTERS = 3000  # and no more text than fits its frame


@dataclass(frozen=True, slots=True)
class Standing:
    """One assigned partition. None: not known yet."""

    topic: str
    partition: int
    position: int | None
    lag: int | None
    paused: bool


@dataclass(frozen=True, slots=True)
class Statistics:
    ends: Mapping[Place, int]  # the offset after the last record
    starts: Mapping[Place, int]  # where reading goes on, when nothing was handled yet
    broker_up: bool
    joined: bool  # the group has an assignment, be it an empty one
    fetched: Mapping[Place, int] = field(default_factory=dict)  # what is asked for next
    delivered: Mapping[Place, int] = field(default_factory=dict)  # what is given out next
    queued: Mapping[Place, int] = field(default_factory=dict)  # records that wait in the client's queue
    locked: Mapping[Place, tuple[int, int]] = field(default_factory=dict)  # from, to: of an open transaction
    leaderless: frozenset[Place] = frozenset()
    group: tuple[str, str] = ("", "")  # its state, the state of joining it


def read(stats: Mapping[str, Any]) -> Statistics:
    """Return what we need of one statistics object; unknown shapes give empty answers, never an error."""
    ends: dict[Place, int] = {}
    starts: dict[Place, int] = {}
    locked: dict[Place, tuple[int, int]] = {}
    found = {(topic, partition): numbers for topic, partition, numbers in _partitions(stats)}
    for place, numbers in found.items():
        stable, high = _int(numbers, "ls_offset"), _int(numbers, "hi_offset")
        if (end := max(stable, high)) >= 0:
            ends[place] = end
        if 0 <= stable < high:
            locked[place] = stable, high
        start = _int(numbers, "committed_offset")
        start = start if start >= 0 else _int(numbers, "next_offset")
        if start >= 0:
            starts[place] = start
    group = _mapping(stats, "cgrp")
    return Statistics(
        ends,
        starts,
        _any_up(stats),
        _joined(group),
        _known(found, "next_offset"),
        _known(found, "app_offset"),
        _known(found, "fetchq_cnt"),
        locked,
        frozenset(place for place, numbers in found.items() if numbers.get("leader") == -1),
        (str(group.get("state", "")), str(group.get("join_state", ""))),
    )


def with_ends(statistics: Statistics, ends: Mapping[Place, int]) -> Statistics:
    """Add ends known from elsewhere; of two the later one is right."""
    later = {place: max(end, statistics.ends.get(place, end)) for place, end in ends.items()}
    return replace(statistics, ends={**statistics.ends, **later})


def standings(
    assigned: Iterable[Place],
    positions: Mapping[Place, int | None],
    statistics: Statistics | None,
    paused: Iterable[Place],
    clear: Iterable[Place] = (),
) -> list[Standing]:
    """`clear`: those of which nothing that was read is left to be handled."""
    held, done = set(paused), set(clear)
    found = [_standing(place, positions.get(place), statistics, place in held) for place in sorted(assigned)]
    empty = {place for place in done - held if statistics is not None and _is_read(statistics, place)}
    return [replace(each, lag=0) if (each.topic, each.partition) in empty else each for each in found]


def _is_read(statistics: Statistics, place: Place) -> bool:
    """To the end, though the last record may lie before it: what follows is compacted, or the mark of a transaction."""
    end = statistics.ends.get(place)
    return end is not None and statistics.fetched.get(place, -1) >= end and not statistics.queued.get(place)


def _standing(place: Place, handled: int | None, statistics: Statistics | None, paused: bool) -> Standing:
    position = handled
    if position is None and statistics is not None:
        position = statistics.starts.get(place)
    end = statistics.ends.get(place) if statistics is not None else None
    lag = None if end is None or position is None else max(0, end - position)
    return Standing(place[0], place[1], position, lag, paused)


def facts(found: list[Standing]) -> dict[str, Any]:
    """Return lag, partitions and partitions_total; of many partitions the worst are shown."""
    known = [s.lag for s in found if s.lag is not None]
    total = sum(known) if known or not found else None
    return {"lag": total, "partitions": _shown(found), "partitions_total": len(found)}


def _shown(found: list[Standing]) -> list[dict[str, Any]]:
    worst = sorted(found, key=lambda s: (not s.paused, -(s.lag or 0), s.topic, s.partition))
    chosen: list[Standing] = []
    room = SHOWN_CHARACTERS
    for standing in worst[:SHOWN]:
        room -= len(standing.topic) + 90
        if room < 0:
            break
        chosen.append(standing)
    chosen.sort(key=lambda s: (s.topic, s.partition))
    return [
        {"topic": s.topic, "partition": s.partition, "position": s.position, "lag": s.lag, "paused": s.paused}
        for s in chosen
    ]


def _partitions(stats: Mapping[str, Any]) -> Iterable[tuple[str, int, Mapping[str, Any]]]:
    for topic, of_topic in _mapping(stats, "topics").items():
        for number, numbers in _mapping(of_topic, "partitions").items():
            if number.isdigit() and isinstance(numbers, dict):  # "-1" is librdkafka's own, of no partition
                yield topic, int(number), numbers


def _known(found: Mapping[Place, Mapping[str, Any]], key: str) -> dict[Place, int]:
    return {place: value for place, numbers in found.items() if (value := _int(numbers, key)) >= 0}


def _joined(group: Mapping[str, Any]) -> bool:
    """A KIP-848 member without a partition is told nothing at all, so there only time tells."""
    return group.get("join_state") == "steady" or (
        group.get("state") == "up" and _int(group, "stateage") >= SPARE_AFTER
    )


def _any_up(stats: Mapping[str, Any]) -> bool:
    brokers = _mapping(stats, "brokers").values()
    return any(isinstance(broker, dict) and broker.get("state") == "UP" for broker in brokers)


def _mapping(value: object, key: str) -> Mapping[str, Any]:
    inner = value.get(key) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def _int(numbers: Mapping[str, Any], key: str) -> int:
    value = numbers.get(key, -1)
    return value if isinstance(value, int) else -1
