"""RUNS IN A CHILD, and read by `history`: what became of every slot of one task, in one SQLite file.

One row per (slot, kind); further attempts update it; slots next to each other that did not run are one row.
Autocommit, one statement per fact: a signal handler may write between any two, and a kill leaves the truth.
Trouble with the file never keeps a run from happening: it is moved aside or done without, and told.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:  # `history` reads this file in the user's terminal: nothing heavy
    from supervisor.child.birth import LastExit
    from supervisor.core.schedule.missed import Range

VERSION = 1
OPEN = "finished IS NULL AND state IN ('running', 'interrupted')"
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS run (
        slot REAL NOT NULL, kind TEXT NOT NULL, last REAL, slots INTEGER, state TEXT NOT NULL, reason TEXT,
        attempt INTEGER, started REAL, finished REAL, duration REAL, lateness REAL, error TEXT, result TEXT, id TEXT,
        PRIMARY KEY (slot, kind)) WITHOUT ROWID""",
    f"PRAGMA user_version = {VERSION}",
)
_COLUMNS = ("slot", "kind", "last", "slots", "state", "reason", "attempt", "started", "finished", "duration")
COLUMNS = (*_COLUMNS, "lateness", "error", "result", "id")
_UPSERT = f"INSERT OR REPLACE INTO run ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
_TIMES = ("slot", "last", "started", "finished")
# A cause of core.lifecycle to what became of the run that was going.
_ENDS = {"stuck": "timed_out", "hung": "killed", "oom": "killed", "memory_hard": "killed", "planned": "interrupted"}
Row = dict[str, Any]
Tell = Callable[[str, str], None]  # code, text


class Ledger:
    """The writer's side; one per process."""

    def __init__(self, path: str, tell: Tell, *, now: Callable[[], float] = time.time) -> None:
        self._path, self._tell, self._now = path, tell, now
        self._troubled = False
        self._db = self._open()

    def begin(self, slot: float, kind: str, *, attempt: int, lateness: float, id: str | None = None) -> Row:
        """Record that a run starts, before it does."""
        row: Row = {"slot": slot, "kind": kind, "state": "running", "attempt": attempt, "started": self._now()}
        row |= {"lateness": round(lateness, 4), "id": id}
        self._put(row)
        return row

    def finish(self, row: Row, state: str, *, duration: float, error: str | None = None, result: Any = None) -> Row:
        """Record its end, whatever was recorded of it before."""
        row |= {"state": state, "finished": self._now(), "duration": round(duration, 4), "error": error}
        row["result"] = result
        self._put(row)
        return row

    def skip(self, slot: float, kind: str, reason: str, *, state: str = "skipped", id: str | None = None) -> Row:
        """Record one slot that does not run."""
        row: Row = {"slot": slot, "kind": kind, "state": state, "reason": reason, "finished": self._now(), "id": id}
        self._put(row)
        return row

    def close(self, closed: Range, previous_slot: float | None = None) -> None:
        """Record slots that did not run; they go on the row of the ones just before, when that says the same."""
        same = "kind = 'schedule' AND coalesce(last, slot) = ? AND state = ? AND reason = ? AND started IS NULL"
        old = self._one(f"SELECT slot, slots FROM run WHERE {same}", (previous_slot, closed.state, closed.reason))
        first = old[0] if old else closed.first
        known = None if closed.slots is None or (old and old[1] is None) else closed.slots + (old[1] if old else 0)
        row: Row = {"slot": first, "kind": "schedule", "last": closed.last, "slots": known, "state": closed.state}
        self._put(row | {"reason": closed.reason, "finished": self._now()})

    def interrupt(self) -> None:
        """SIGTERM came: whoever kills this process now, the run was interrupted. Called by a signal handler."""
        self._do("UPDATE run SET state = 'interrupted' WHERE state = 'running'")

    def close_open(self, previous: LastExit | None) -> list[Row]:
        """Close what an earlier process left running; return these rows."""
        rows = self._rows(f"SELECT * FROM run WHERE {OPEN} ORDER BY slot")
        for row in rows:
            said = _ENDS.get(previous.cause) if previous else None
            row["state"] = said or ("interrupted" if row["state"] == "interrupted" else "lost")
            row["error"] = previous.reason if previous else "the supervisor and the process ended together"
            row["finished"] = self._now()
            self._put(row)
        return rows

    def has(self, slot: float, kind: str = "schedule") -> bool:
        """Whether this very slot has a record."""
        sql = "SELECT 1 FROM run WHERE kind = ? AND slot <= ? AND coalesce(last, slot) >= ? LIMIT 1"
        return self._one(sql, (kind, slot, slot)) is not None

    def settled(self) -> float | None:
        """Return up to when all slots are dealt with, or None in a new ledger."""
        sql = "SELECT max(coalesce(last, slot)) FROM run WHERE kind = 'schedule'"
        found = [t for t in ((self._one(sql) or [None])[0], self.meta("since")) if t is not None]
        return max(found, default=None)

    def last(self) -> Row | None:
        """Return the newest run that started."""
        rows = self._rows("SELECT * FROM run WHERE started IS NOT NULL ORDER BY started DESC LIMIT 1")
        return rows[0] if rows else None

    def forget_future(self, now: float) -> None:
        """The clock was set back: slots after `now` are not missed yet. What started stays, and never starts again."""
        self._do("DELETE FROM run WHERE started IS NULL AND slot > ?", (now,))
        self._do("UPDATE run SET last = ?, slots = NULL WHERE started IS NULL AND last > ?", (now, now))
        if (self.meta("since") or 0.0) > now:
            self.set_meta("since", now)

    def meta(self, key: str) -> Any:
        row = self._one("SELECT value FROM meta WHERE key = ?", (key,))
        return row[0] if row else None

    def set_meta(self, key: str, value: Any) -> None:
        self._do("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def prune(self, *, keep: float, most: int) -> None:
        """Drop rows older than `keep` seconds, and the oldest over `most`; what they settled stays settled."""
        over = self._one("SELECT slot FROM run ORDER BY slot DESC LIMIT 1 OFFSET ?", (most,))
        limit = max(self._now() - keep, over[0] if over else 0.0)
        old = f"coalesce(last, slot) <= ? AND NOT ({OPEN})"
        gone = self._one(f"SELECT max(coalesce(last, slot)) FROM run WHERE kind = 'schedule' AND {old}", (limit,))
        if gone and gone[0] is not None:
            self.set_meta("since", max(gone[0], self.meta("since") or 0.0))
        self._do(f"DELETE FROM run WHERE {old}", (limit,))

    def shut(self) -> None:
        self._db.close()

    def _put(self, row: Mapping[str, Any]) -> None:
        self._do(_UPSERT, tuple(row.get(column) for column in COLUMNS))

    def _do(self, sql: str, values: tuple[Any, ...] = ()) -> None:
        try:
            self._db.execute(sql, values)
        except sqlite3.OperationalError as e:  # disk full, locked, read-only: the next write may succeed
            self._trouble(f"{self._path}: {e}; runs go on, this record is missing")
        except sqlite3.DatabaseError as e:  # malformed
            self._db.close()
            self._db = self._moved(e)
            self._again(sql, values)
        else:
            self._troubled = False

    def _again(self, sql: str, values: tuple[Any, ...]) -> None:
        try:
            self._db.execute(sql, values)
        except sqlite3.Error as e:
            self._trouble(f"{self._path}: {e}; runs go on, this record is missing")

    def _one(self, sql: str, values: tuple[Any, ...] = ()) -> Any:
        try:
            return self._db.execute(sql, values).fetchone()
        except sqlite3.Error as e:
            self._trouble(f"{self._path}: cannot be read: {e}")
            return None

    def _rows(self, sql: str) -> list[Row]:
        try:
            return rows(self._db, sql)
        except sqlite3.Error as e:
            self._trouble(f"{self._path}: cannot be read: {e}")
            return []

    def _trouble(self, text: str) -> None:
        if not self._troubled:  # once, until a write succeeds again
            self._tell("ledger", text)
        self._troubled = True

    def _open(self) -> sqlite3.Connection:
        try:
            return connect(self._path)
        except sqlite3.OperationalError as e:
            return self._without(e)
        except (sqlite3.DatabaseError, FutureVersion) as e:
            return self._moved(e)

    def _moved(self, error: Exception) -> sqlite3.Connection:
        """Put a file that cannot be used aside and begin a new one."""
        aside = f"{self._path}.unreadable-{datetime.fromtimestamp(self._now(), UTC):%Y%m%dT%H%M%SZ}"
        try:
            for end in ("", "-wal", "-shm"):
                if os.path.exists(self._path + end):
                    os.replace(self._path + end, aside + end)
            made = connect(self._path)
        except (OSError, sqlite3.Error) as e:
            return self._without(e)
        self._tell("ledger", f"{self._path}: {error}; it was moved to {aside}, the history begins anew")
        return made

    def _without(self, error: Exception) -> sqlite3.Connection:
        self._tell("ledger", f"{self._path}: {error}; runs go on, their history is not kept")
        return connect(":memory:")


class FutureVersion(Exception):
    """A later release wrote this file."""


def connect(path: str) -> sqlite3.Connection:
    """Open or make the writer's file. Raises sqlite3.Error and FutureVersion."""
    db = sqlite3.connect(path, timeout=2.0, isolation_level=None, cached_statements=16)
    try:
        db.execute("PRAGMA cache_size = -64")  # KiB: a ledger is appended to, there is one per child
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise FutureVersion(f"it is of version {version}, this release writes version {VERSION}")
        if (said := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(said)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")  # kill -9 loses nothing; a power cut may lose the last rows
        for statement in _SCHEMA:
            db.execute(statement)
    except BaseException:
        db.close()
        raise
    return db


def warm_up() -> None:
    """Let SQLite set itself up; nothing stays open."""
    connect(":memory:").close()


def rows(db: sqlite3.Connection, sql: str, values: tuple[Any, ...] = ()) -> list[Row]:
    cursor = db.execute(sql, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def records(path: str, *, limit: int = 20) -> list[Row]:
    """Return the newest `limit` records, the latest last, with times as RFC 3339. The file is only read.

    Raises sqlite3.Error when it cannot be.
    """
    db = _reader(path)
    try:
        found = rows(db, "SELECT * FROM run ORDER BY coalesce(started, last, slot) DESC LIMIT ?", (limit,))
    finally:
        db.close()
    task = os.path.basename(path).removesuffix(".db")
    return [record(task, row) for row in reversed(found)]


def record(task: str, row: Mapping[str, Any]) -> Row:
    """Return a row as people and programs exchange it; what it does not have is left out."""
    made = {"task": task} | {key: value for key in COLUMNS if (value := row.get(key)) is not None}
    return made | {key: stamp(made[key]) for key in _TIMES if key in made}


def stamp(t: float) -> str:
    return datetime.fromtimestamp(t, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _reader(path: str) -> sqlite3.Connection:
    """A reader of a folder that it may not write in cannot share the log of changes: it reads what is in the file."""
    for mode in ("mode=ro", "mode=ro&immutable=1"):
        db = sqlite3.connect(f"file:{quote(path)}?{mode}", uri=True, timeout=2.0)
        try:
            db.execute("SELECT 1 FROM run LIMIT 1")
            return db
        except sqlite3.Error:
            db.close()
            if "immutable" in mode:
                raise
    raise AssertionError
