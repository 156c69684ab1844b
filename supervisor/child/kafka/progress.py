"""RUNS IN A CHILD: the progress page of this consumer: after a kill -9 nobody handles again what was handled.

A record's position is written here as soon as it is handled, before the client hears of it: that takes a fraction of
a microsecond, and what is written outlives this process. Who gets the partition next reads it.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

from supervisor.core.kafka import page
from supervisor.core.kafka.claims import Standing, standing
from supervisor.core.kafka.lag import Place
from supervisor.core.kafka.page import Cell

log = logging.getLogger(__name__)

FULL = (
    f"the progress page remembers {page.CELLS} partitions of one process, and this one has more: of the others some "
    "records come again after a crash"
)


@dataclass(slots=True)
class _Held:
    """A partition that is ours: its cell, and where that is. Position and sequence change with each record."""

    cell: Cell
    index: int | None
    sequence: int
    position: int
    words: memoryview | None = None  # behind the cell, once it has its room
    key: int = 0
    pair: int = 0  # of the words, which was written last


class Progress:
    """One member's region to write, all regions to read. Without a page it does nothing, and says so once."""

    def __init__(self, path: str | None, member: int) -> None:
        """`path` None: no page is wanted."""
        self._lock = threading.Lock()  # handled in one thread, committed in another
        self._region = member - 1
        self._held: dict[Place, _Held] = {}
        self._indexes: dict[tuple[bytes, bytes, int], int] = {}
        self._free = 0
        self._full = False
        self._map: mmap.mmap | None = None
        try:
            if path is not None:
                self._open(path)
        except (OSError, ValueError) as e:
            log.warning("no progress page (%s): after a crash some records come again", e)

    def __bool__(self) -> bool:
        return self._map is not None

    def _open(self, path: str) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)  # stays open: closing it would end the lock
        found = page.read_header(os.pread(fd, page.HEADER, 0))
        if isinstance(found, str):
            os.close(fd)
            raise ValueError(f"{path}: {found}")  # noqa: TRY004  of a file, not of an argument
        end = os.fstat(fd).st_size
        if end < page.size(self._region + 1):
            os.close(fd)
            raise ValueError(f"{path}: has {end} bytes, and no room for this member")
        try:  # nobody else writes there by design; this is what holds when the design is broken
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, page.REGION, page.HEADER + self._region * page.REGION)
        except OSError as e:
            os.close(fd)
            raise ValueError(f"{path}: another process writes for this member") from e
        self._fd, self._map = fd, mmap.mmap(fd, end)
        self._view = memoryview(self._map)
        self._regions = (end - page.HEADER) // page.REGION
        for index, cell in page.cells(self._view, self._region):
            if cell is not None:
                self._indexes[_key(cell)] = index
            self._free = index + 1

    def close(self) -> None:
        """Nothing is written any more. The memory stays as long as a thread that is late may write there."""
        with self._lock:
            self._held.clear()
            if self._map is not None:
                os.close(self._fd)
                self._map, self._view = None, memoryview(b"")

    def begin(
        self, scope: bytes, topics: Mapping[str, bytes], committed: Mapping[Place, int], places: set[Place]
    ) -> dict[Place, int]:
        """These partitions are ours from now on. Return where to begin, where that is not the committed offset.

        A partition without a known topic or committed offset is left alone: its next owner begins at what is committed.
        """
        if self._map is None:
            return {}
        with self._lock:
            known = self._known(scope)
            found: dict[Place, int] = {}
            for place in places:
                topic, base = topics.get(place[0]), committed.get(place)
                if topic is None or base is None:
                    continue
                said = standing(known.get((topic, place[1]), ()), base)
                self._take(place, scope, topic, said, base)
                if said.position is not None:
                    found[place] = said.position
            return found

    def _known(self, scope: bytes) -> dict[tuple[bytes, int], list[Cell]]:
        found: dict[tuple[bytes, int], list[Cell]] = {}
        for region in range(self._regions):
            for _, cell in page.cells(self._view, region):
                if cell is not None and cell.scope == scope:
                    found.setdefault((cell.topic, cell.partition), []).append(cell)
        return found

    def _take(self, place: Place, scope: bytes, topic: bytes, said: Standing, base: int) -> None:
        position = max(base, page.NEVER) if said.position is None else said.position
        cell = Cell(scope, topic, place[1], said.generation, position, base)
        index = self._indexes.get(_key(cell))
        before = None if index is None else page.read(self._view, self._region, index)
        self._held[place] = _Held(cell, index, before.sequence if before else 0, position)
        if said.rewound:
            log.info("%s:%d: its offsets were set back: it is read again from there", *place)
            self._put(self._held[place])

    def handled(self, place: Place, position: int) -> None:
        """All before `position` is handled. Only one thread at a time says so of a partition."""
        held = self._held.get(place)
        if held is None or position == held.position:
            return
        if position > held.position and held.words is not None:
            held.position = position
            held.pair = pair = 2 - held.pair
            held.words[pair] = position
            held.words[pair + 1] = position ^ held.key
            return
        with self._lock:
            if position < held.position:  # the log itself begins anew: what was said of it is over
                generation, base = held.cell.generation + 1, min(held.cell.base, position)
                held.cell = replace(held.cell, generation=generation, base=base)
            held.position = position
            self._put(held)

    def committed(self, offsets: Mapping[Place, int]) -> None:
        """The broker has them: who finds less there knows that somebody set them back."""
        with self._lock:
            for place, offset in offsets.items():
                held = self._held.get(place)
                if held is not None and offset > held.cell.base:
                    held.cell = replace(held.cell, base=offset)
                    self._put(held)

    def end(self, places: set[Place]) -> None:
        with self._lock:
            for place in places:
                self._held.pop(place, None)

    def _put(self, held: _Held) -> None:
        if held.index is None:
            self._find_room(held)
        if held.index is not None:
            held.sequence += 1
            page.put(self._view, self._region, held.index, held.cell, held.sequence, held.position)
            held.key = page.key(held.cell)
            held.words = page.words(self._view, self._region, held.index)

    def _find_room(self, held: _Held) -> None:
        """A free cell, or one of another cluster or group. What a set-back was noted in is kept: others rely on it."""
        if self._free < page.CELLS:
            held.index, self._free = self._free, self._free + 1
        elif (old := self._outlived(held.cell.scope)) is not None:
            held.index, held.sequence = old  # of the two copies the higher one counts
            self._indexes = {key: index for key, index in self._indexes.items() if index != held.index}
        else:
            if not self._full:
                log.warning("%s", FULL)
            self._full = True
            return
        self._indexes[_key(held.cell)] = held.index

    def _outlived(self, scope: bytes) -> tuple[int, int] | None:
        for index, cell in page.cells(self._view, self._region):
            if cell is None or (cell.scope != scope and cell.generation == 1):
                return index, cell.sequence if cell else 0
        return None


def _key(cell: Cell) -> tuple[bytes, bytes, int]:
    return cell.scope, cell.topic, cell.partition
