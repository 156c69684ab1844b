"""Which offset may be committed: the one after the longest run of handled records, however they finish.

Offsets in a partition have gaps (compaction, transaction markers), so the run is counted over the records that
were taken, not over whole numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from supervisor.core.kafka.gaps import Run


class Prefix:
    """The records of one partition between taking and committing."""

    __slots__ = ("_ahead", "_known", "_least", "_next", "_taken")

    def __init__(self, committable: int | None = None, done: Iterable[Run] = (), least: int | None = None) -> None:
        """`done`: what another handled ahead of the offset `least`, which is the committed one unless said."""
        self._taken: deque[int] = deque()  # in order, the first one not handled
        self._ahead: set[int] = set()  # handled, behind one that is not
        self._next = committable
        self._known = deque(done)  # not taken yet
        self._least = committable if least is None else least

    def take(self, offset: int) -> bool:
        """A record was read; offsets come in rising order. False: it was handled already, and is not to be again."""
        if self._known and self._is_done(offset):
            if self._taken:
                self._taken.append(offset)
                self._ahead.add(offset)
            else:
                self._next = offset + 1
            return False
        self._taken.append(offset)
        return True

    def _is_done(self, offset: int) -> bool:
        if self._least is not None and offset < self._least:
            self._known.clear()  # read from further back: the topic was made anew, or somebody wants it all again
            return False
        while self._known and self._known[0][1] < offset:
            self._known.popleft()
        return bool(self._known) and self._known[0][0] <= offset

    def wait_at(self, offset: int) -> None:
        """A record was read that is left for later: when nothing came before it, here is where reading goes on."""
        if not self._taken and self._next is None:
            self._next = offset

    def finish(self, offset: int) -> bool:
        """A record was handled. Return whether the committable offset moved."""
        if not self._taken or offset != self._taken[0]:
            self._ahead.add(offset)
            return False
        self._next = offset + 1  # first: whoever looks meanwhile, from another thread, sees no gap
        self._taken.popleft()
        while self._taken and self._taken[0] in self._ahead:
            last = self._taken.popleft()
            self._ahead.discard(last)
            self._next = last + 1
        return True

    def finish_all(self, offsets: Sequence[int]) -> bool:
        """As `finish` of each, in this order. Return whether the committable offset moved."""
        taken, moved = self._taken, False
        for offset in offsets:
            if self._ahead or not taken or taken[0] != offset:
                moved = self.finish(offset) or moved
            else:
                self._next = offset + 1
                taken.popleft()
                moved = True
        return moved

    @property
    def committable(self) -> int | None:
        """The offset to commit, which is that of the next record to read. None: nothing was handled yet."""
        return self._next

    @property
    def position(self) -> int | None:
        """Where this partition would go on after a restart, as far as its records tell."""
        try:
            return self._taken[0]
        except IndexError:
            return self._next

    @property
    def open(self) -> int:
        """How many records from the first one that is not handled to the last one taken."""
        return len(self._taken)

    def done(self) -> list[Run]:
        """Return what is handled behind the first record that is not, as runs; between two of one run none is open."""
        found: list[Run] = []
        first = last = None
        for offset in self._taken if self._ahead else ():
            if offset not in self._ahead:
                if first is not None and last is not None:
                    found.append((first, last))
                first = last = None
                continue
            first, last = offset if first is None else first, offset
        if first is not None and last is not None:
            found.append((first, last))
        end = self._taken[-1] if self._taken else (self._next or 0) - 1
        return found + [(max(run[0], end + 1), run[1]) for run in self._known if run[1] > end]
