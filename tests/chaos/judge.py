"""RUNS IN THE SOAK: reads the ledgers, the lines of the runs and of the records, and says what must not be.

It opens the SQLite files by itself and computes the grid of the slots by itself: it shares no code with the product.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

FINAL = {"ok", "failed", "timed_out", "killed", "interrupted", "lost", "skipped", "missed"}


@dataclass(frozen=True, slots=True)
class Row:
    slot: float
    kind: str
    last: float
    slots: int | None
    state: str
    started: float | None
    finished: float | None


def ledger(path: Path) -> list[Row]:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        sql = "SELECT slot, kind, coalesce(last, slot), slots, state, started, finished FROM run ORDER BY slot"
        return [Row(*row) for row in db.execute(sql)]
    finally:
        db.close()


def whole_lines(path: Path) -> list[str]:
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return []
    return text[: text.rfind("\n") + 1].splitlines()


def slots(name: str, path: Path, every: float, until: float) -> list[str]:
    """Every slot of the grid up to `until` (epoch) is in exactly one row, and each row is a final one."""
    rows = [row for row in ledger(path) if row.kind == "schedule"]
    wrong = []
    for before, after in pairwise(rows):
        if after.slot <= before.last:
            wrong.append(f"{name}: two records of slot {after.slot}: {before} {after}")
        elif after.slot - before.last > every and before.last < until:
            wrong.append(f"{name}: no record of {(after.slot - before.last) / every - 1:.0f} slots after {before}")
    wrong += [f"{name}: {row} has no final state" for row in rows[:-1] if row.state not in FINAL]
    wrong += [f"{name}: {row} counts wrongly" for row in rows if row.slots and _count(row, every) != row.slots]
    wrong += [f"{name}: {row} is not on the grid" for row in rows if row.slot % every]
    if not rows or rows[-1].last < until - every:
        wrong.append(f"{name}: no records after {rows[-1] if rows else 'the beginning'}, up to {until}")
    return wrong


def _count(row: Row, every: float) -> int:
    return round((row.last - row.slot) / every) + 1


def starts(name: str, lines: Iterable[str], path: Path) -> list[str]:
    """Each (slot, kind, attempt) starts at most once, and ends in a record that says that it started."""
    begun = Counter(tuple(line.split()[:3]) for line in lines)
    wrong = [f"{name}: {key} started {count} times" for key, count in begun.items() if count > 1]
    rows = ledger(path)
    recorded = {(row.slot, row.kind): row for row in rows}
    lost = [row for row in rows if row.state == "lost"]  # a range of slots that started and could not be recorded
    for slot, kind in {(float(key[0]), key[1]) for key in begun}:
        row = recorded.get((slot, kind))
        if any(each.kind == kind and each.slot <= slot <= each.last for each in lost):
            continue
        if row is None or row.started is None:
            wrong.append(f"{name}: slot {slot} ({kind}) started and its record is {row}")
    return wrong


def events(lines: Iterable[str]) -> list[str]:
    """Each is one line of printable text, and their numbers only rise."""
    wrong, last = [], 0
    for line in lines:
        if not line.isprintable():
            wrong.append(f"not printable: {line!r}")
        elif int(json.loads(line)["seq"]) <= last:
            wrong.append(f"number {last} is followed by {line}")
        else:
            last = int(json.loads(line)["seq"])
    return wrong


@dataclass
class Stored:
    """What one consumer's handler got, by its lines."""

    offsets: dict[int, set[int]]
    records: int
    jumps: list[tuple[int, int, int]]  # partition, the offset expected at most, the one that came


def stored(lines: Iterable[str]) -> Stored:
    """Order modulo replays: a record never comes before all that are before it."""
    found, highest, jumps, records = {}, {}, [], 0  # type: ignore[var-annotated]
    for line in lines:
        partition, offset = (int(word) for word in line.split()[:2])
        records += 1
        most = highest.get(partition, -1) + 1
        if offset > most:
            jumps.append((partition, most, offset))
        highest[partition] = max(offset, most - 1)
        found.setdefault(partition, set()).add(offset)
    return Stored(found, records, jumps)
