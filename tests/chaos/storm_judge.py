"""RUNS IN THE COMMANDS of tests/chaos, and in pytest: a judge of a storm, by what was sent and what was done.

It knows nothing of the product: records were sent, processes did them in some order, some processes were harmed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

Place = tuple[int, int]  # partition, offset


class Did(NamedTuple):
    """In the order in which it became durable."""

    pid: int
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Judgement:
    sent: int
    lost: tuple[Place, ...]
    twice: int  # deliveries beyond the first
    by_kill: Mapping[int, int]  # killed process: how many of its records another did again
    by_freeze: int  # a frozen one woke up among others, or was believed dead
    by_nothing: tuple[Did, ...]  # done again though nobody who did it was harmed
    passed: tuple[Did, ...]  # done while an earlier one of its partition was not


def judged(done: Iterable[Did], ends: Mapping[int, int], killed: Iterable[int], frozen: Iterable[int]) -> Judgement:
    """`ends`: how many records each partition has."""
    dead, stopped = set(killed), set(frozen)
    doers: dict[Place, list[int]] = defaultdict(list)
    whole: dict[int, int] = defaultdict(int)  # before it every record of the partition is done
    by_kill: Counter[int] = Counter()
    by_freeze, by_nothing, passed = 0, [], []
    for one in done:
        place = (one.partition, one.offset)
        before = doers[place]
        if before:
            blamed = {*before, one.pid}
            if blamed & stopped:
                by_freeze += 1
            elif killers := [pid for pid in before if pid in dead]:
                by_kill[killers[-1]] += 1
            else:
                by_nothing.append(one)
        before.append(one.pid)
        if one.offset > whole[one.partition]:
            passed.append(one)
        while (one.partition, whole[one.partition]) in doers:
            whole[one.partition] += 1
    lost = tuple((p, o) for p, end in sorted(ends.items()) for o in range(end) if (p, o) not in doers)
    twice = sum(len(pids) - 1 for pids in doers.values())
    return Judgement(sum(ends.values()), lost, twice, by_kill, by_freeze, tuple(by_nothing), tuple(passed))
