"""RUNS IN A CHILD: records that could not be written, kept until they can be. Bounded, however long that takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from supervisor.child.schedule.ledger_file import Row

MOST = 1000  # records; then the oldest become one range
UNKNOWN = "not recorded"
OWED = ("schedule", "backfill")  # what the schedule asks for
Key = tuple[float, str]  # slot, kind


class Held:
    """Newer words on the same slot replace older ones. Each method is one step for a signal handler."""

    def __init__(self, most: int = MOST) -> None:
        self._rows: dict[Key, Row] = {}
        self._most = most

    def __bool__(self) -> bool:
        return bool(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(list(self._rows.values()))

    def add(self, row: Row) -> None:
        self._rows[_key(row)] = row
        if len(self._rows) > self._most:
            self._shorten()

    def drop(self, row: Row) -> None:
        self._rows.pop(_key(row), None)

    def covering(self, first: float, last: float) -> list[Row]:
        return [row for row in self if row["kind"] in OWED and row["slot"] <= last and _last(row) >= first]

    def settled(self) -> float | None:
        return max((_last(row) for row in self if row["kind"] in OWED), default=None)

    def interrupt(self, reason: str | None) -> None:
        for row in self:
            if row["state"] == "running":
                row |= {"state": "interrupted", "reason": reason}

    def forget_future(self, now: float) -> None:
        for row in self:
            if row.get("started") is None and row["slot"] > now:
                self.drop(row)

    def _shorten(self) -> None:
        """Put the two oldest of the schedule together; of what was asked for by hand the oldest goes."""
        oldest = [row for row in self if row["kind"] == "schedule"][:2]
        if len(oldest) < 2:
            self.drop(next(iter(self)))
            return
        for row in oldest:
            self.drop(row)
        self._rows = {_key(made): made for made in [_merged(*oldest)]} | self._rows


def _merged(first: Row, second: Row) -> Row:
    counts: list[Any] = [row.get("slots", 1 if row.get("last") is None else None) for row in (first, second)]
    slots = None if None in counts else sum(counts)
    made: Row = {"slot": first["slot"], "kind": "schedule", "last": _last(second), "slots": slots, "state": "lost"}
    return made | {"reason": UNKNOWN, "finished": second.get("finished") or first.get("finished")}


def _key(row: Row) -> Key:
    return row["slot"], row["kind"]


def _last(row: Row) -> float:
    last = row.get("last")
    return float(row["slot"] if last is None else last)
