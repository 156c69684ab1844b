"""Partitions take turns: a client hands out long runs of one partition, behind which the others would wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_turns(items: Sequence[T], partition: Callable[[T], Hashable]) -> Sequence[T]:
    """Return the same items, one of each partition after the other; those of one partition stay in order."""
    found: dict[Hashable, deque[T]] = {}
    for item in items:
        found.setdefault(partition(item), deque()).append(item)
    if len(found) < 2:
        return items
    made: list[T] = []
    waiting = deque(found.values())
    while waiting:
        queue = waiting.popleft()
        made.append(queue.popleft())
        if queue:
            waiting.append(queue)
    return made
