"""Which offset may be committed: the one after the longest run of handled records, however they finish.

Offsets in a partition have gaps (compaction, transaction markers), so the run is counted over the records that
were taken, not over whole numbers.
"""

from __future__ import annotations

from collections import deque


class Prefix:
    """The records of one partition between taking and committing."""

    __slots__ = ("_ahead", "_next", "_taken")

    def __init__(self, committable: int | None = None) -> None:
        self._taken: deque[int] = deque()  # in order, the first one not handled
        self._ahead: set[int] = set()  # handled, behind one that is not
        self._next = committable

    def take(self, offset: int) -> None:
        """A record was read; offsets come in rising order."""
        self._taken.append(offset)

    def finish(self, offset: int) -> bool:
        """A record was handled. Return whether the committable offset moved."""
        if not self._taken or offset != self._taken[0]:
            self._ahead.add(offset)
            return False
        self._taken.popleft()
        self._next = offset + 1
        while self._taken and self._taken[0] in self._ahead:
            last = self._taken.popleft()
            self._ahead.discard(last)
            self._next = last + 1
        return True

    @property
    def committable(self) -> int | None:
        """The offset to commit, which is that of the next record to read. None: nothing was handled yet."""
        return self._next

    @property
    def position(self) -> int | None:
        """Where this partition would go on after a restart, as far as its records tell."""
        return self._taken[0] if self._taken else self._next
