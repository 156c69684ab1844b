"""RUNS IN A CHILD: the ledger: offsets in the user's own database, in the transaction that keeps what was handled.

Each transaction moves the offset of its partition from where this process believes it to be to behind its last
record. Where that is not true any more another process handled the records, and nothing of this transaction stays.
So a record is kept once, whoever is killed, frozen or believed dead while it is not.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from supervisor.child.kafka.handover import Item
from supervisor.child.kafka.ledger_sql import CREATE, INSERT, SELECT, TABLE, UPDATE, Sql, sql
from supervisor.core.kafka.lag import Place

log = logging.getLogger(__name__)

Open = Callable[[], AbstractContextManager[Any]]


class LedgerUnknown(Exception):
    """Where the records belong, or how far they are kept, cannot be found out: nothing may be handled."""


class Moved(Exception):
    """Others kept records of this call; nothing of it was kept here."""


class SetBack(Exception):
    """Somebody changed the ledger by hand."""


@dataclass(frozen=True, slots=True)
class _Move:
    place: Place
    expected: int | None  # None: there is no row yet
    first: int
    next: int


class Ledger:
    """What this process believes of the rows; each is a row of its own, and each lane has its own partitions."""

    def __init__(self, group_id: str, open_: Open) -> None:
        """`open_`: the resource that gives a connection."""
        self._group, self._open = group_id, open_
        self._origins: dict[str, str] = {}  # of topics
        self._next: dict[Place, int | None] = {}
        self._lock = threading.Lock()

    def begin(self, cluster: str | None, topics: Mapping[str, str], places: set[Place]) -> dict[Place, int]:
        """Read where these partitions are. Raises LedgerUnknown."""
        if cluster is None or (unknown := sorted({topic for topic, _ in places} - topics.keys())):
            what = "the cluster" if cluster is None else ", ".join(unknown)
            raise LedgerUnknown(f"the broker did not tell the id of {what}")
        with self._lock:
            self._origins |= {topic: f"{cluster}/{topic_id}" for topic, topic_id in topics.items()}
        try:
            rows = self._read(places)
        except Exception as e:
            raise LedgerUnknown(f"{TABLE}: {type(e).__name__}: {e}") from e
        with self._lock:
            self._next |= rows
        return {place: offset for place, offset in rows.items() if offset is not None}

    def _read(self, places: set[Place]) -> dict[Place, int | None]:
        with self._open() as connection:
            found = sql(connection)
            try:
                found.execute(CREATE, {})
                found.commit()
            except Exception:  # another process makes it at the same moment
                found.rollback()
            rows = {place: self._row(found, place) for place in sorted(places)}
            found.rollback()
            return rows

    def _row(self, connection: Sql, place: Place) -> int | None:
        value = connection.first(SELECT, self._key(place))
        return None if value is None else int(value)

    def _key(self, place: Place) -> dict[str, Any]:
        topic, partition = place
        return {"origin": self._origins[topic], "group_id": self._group, "topic": topic, "part": partition}

    def moves(self, items: Sequence[Item]) -> list[_Move]:
        """Return one for each partition, always in the same order: two processes never wait for each other."""
        with self._lock:
            ends: dict[Place, tuple[int, int]] = {}
            for item in items:
                first, _ = ends.get(item.lease.place, (item.offset, 0))
                ends[item.lease.place] = first, item.offset + 1
            return [_Move(place, self._next.get(place), *ends[place]) for place in sorted(ends)]

    def move(self, connection: Sql, moves: Sequence[_Move]) -> None:
        """In the transaction of `connection`. Raises Moved when another was quicker; then it is rolled back."""
        for move in moves:
            if move.expected is not None and move.first < move.expected:
                connection.rollback()
                raise Moved(f"{move.place[0]}:{move.place[1]} is kept up to {move.expected}")
            if not self._moved(connection, move):
                connection.rollback()
                self._look(connection, move)

    def _moved(self, connection: Sql, move: _Move) -> bool:
        values = {**self._key(move.place), "next_offset": move.next}
        if move.expected is not None:
            return bool(connection.execute(UPDATE, {**values, "expected": move.expected}).rowcount == 1)
        try:
            connection.execute(INSERT, values)
        except Exception:
            connection.rollback()
            if self._row(connection, move.place) is None:
                raise
            return False
        return True

    def _look(self, connection: Sql, move: _Move) -> None:
        """Always raises: learn where the row is."""
        row = self._row(connection, move.place)
        connection.rollback()
        where = f"{move.place[0]}:{move.place[1]}"
        if (move.expected or 0) > (row or 0):
            hint = "set the group's offset back too, and restart the consumer"
            raise SetBack(f"{where}: {TABLE} said {move.expected} and now says {row}; {hint}")
        with self._lock:
            self._next[move.place] = row
        raise Moved(f"{where} is kept up to {row} by another process")

    def kept(self, moves: Sequence[_Move]) -> None:
        """They were committed."""
        with self._lock:
            self._next |= {move.place: move.next for move in moves}

    def unsure(self, moves: Sequence[_Move]) -> None:
        """They were rolled back, or nobody knows; the next look tells."""
        rows: dict[Place, int | None] = {}
        try:
            rows = self._read({move.place for move in moves})
        except Exception as e:  # the next compare tells as well: it fails, and then it is read
            log.info("%s cannot be read: %s", TABLE, e)
        with self._lock:
            for place, row in rows.items():  # one that went back was set back by hand: the next compare says so
                self._next[place] = max(row or 0, self._next.get(place) or 0) or None

    def is_kept(self, item: Item) -> bool:
        with self._lock:
            return item.offset < (self._next.get(item.lease.place) or 0)
