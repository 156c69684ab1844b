"""Records in chains, one chain for each key or partition: of one chain one at a time and in order, between chains none.

Chains with something to do take turns, so that a long one starves nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Chains(Generic[T]):
    """A chain is open until something of it is taken, and again after `done`."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[T]] = {}  # a chain in hand has its entry even when that is empty
        self._ready: deque[Hashable] = deque()  # open, with something waiting
        self.waiting = 0

    def add(self, chain: Hashable, item: T) -> None:
        if chain not in self._waiting:
            self._waiting[chain] = deque()
            self._ready.append(chain)
        self._waiting[chain].append(item)
        self.waiting += 1

    def take(self, most: int = 1) -> tuple[Hashable, list[T]] | None:
        """Return the next chain and at most so many of it, in order; it is closed until `done`. None: none is open."""
        if not self._ready:
            return None
        chain = self._ready.popleft()
        items = self._waiting[chain]
        found = [items.popleft() for _ in range(min(most, len(items)))]
        self.waiting -= len(found)
        return chain, found

    def done(self, chain: Hashable) -> None:
        """What was taken of it is over: it may go on."""
        if self._waiting[chain]:
            self._ready.append(chain)
        else:
            del self._waiting[chain]
