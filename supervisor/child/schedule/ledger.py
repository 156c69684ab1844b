"""RUNS IN A CHILD, and read by `history`: what became of every slot of one task, in one SQLite file.

One row per (slot, kind); further attempts update it; slots next to each other that did not run are one row.
Autocommit, one statement per fact: a signal handler may write between any two, and a kill leaves the truth.
Trouble with the file never keeps a run from happening: it is moved aside or done without, and told.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from supervisor.child.schedule.held import Held
from supervisor.child.schedule.ledger_file import (
    OPEN,
    OWED,
    UPSERT,
    FutureVersion,
    Row,
    connect,
    identity,
    rows,
    set_aside,
    settled,
    values,
)
from supervisor.core.schedule.unwritten import ended

if TYPE_CHECKING:
    from supervisor.child.birth import LastExit
    from supervisor.core.schedule.missed import Range

AGAIN = 5.0  # seconds between two looks whether the file can be had by now
Tell = Callable[[str, str], None]  # code, text
Gap = tuple[float, float]  # epoch seconds, after and until


class Ledger:
    """The writer's side; one per process."""

    def __init__(self, path: str, tell: Tell, *, now: Callable[[], float] = time.time) -> None:
        self._path, self._tell, self._now = path, tell, now
        self.problem: str | None = None  # why records are not kept, until they are again
        self._held = Held()
        self._meta: dict[str, Any] = {}  # what this process said: a file that begins anew is told again
        self._unsaved: set[str] = set()  # keys of it
        self._file: tuple[int, int] | None = None  # which file is open; None: there is none, records are in memory
        self._tried = now()
        self._db = self._open()

    def begin(self, slot: float, kind: str, *, attempt: int, lateness: float, id: str | None = None) -> Row:
        """Record that a run starts, before it does."""
        row: Row = {"slot": slot, "kind": kind, "state": "running", "attempt": attempt, "started": self._now()}
        row |= {"lateness": round(lateness, 4), "id": id}
        self._put(row)
        return row

    def finish(self, row: Row, state: str, *, duration: float, error: str | None = None, **more: Any) -> Row:
        """Record its end, whatever was recorded of it before. `more`: result, cpu, rss, stacks."""
        row |= {"state": state, "finished": self._now(), "duration": round(duration, 4), "error": error} | more
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

    def interrupt(self, reason: str | None = None) -> None:
        """SIGTERM came, or the next slot: whoever kills us now, the run was interrupted. Called by a signal handler."""
        self._do("UPDATE run SET state = 'interrupted', reason = ? WHERE state = 'running'", (reason,))
        self._held.interrupt(reason)

    def look(self) -> Gap | None:
        """Is the file at its path still the open one, and can be written what could not?

        Returns a time of which neither the file nor this process has records.
        """
        if self._file is None:
            return self._back() if not 0 <= self._now() - self._tried < AGAIN else None
        if identity(self._path) != self._file:
            self._anew()
        self._catch_up()
        return None

    def close_open(
        self, previous: LastExit | None, left: Row | None = None, overtaken: Callable[[Row], bool] = lambda row: False
    ) -> list[Row]:
        """Close what an earlier process left running; return these rows. `left`: what else is known of its end."""
        found = self._rows(f"SELECT * FROM run WHERE {OPEN} ORDER BY slot")
        for row in found:
            cause, reason = (previous.cause, previous.reason) if previous else (None, None)
            room = overtaken(row)
            row["state"], row["error"] = ended(row["state"], cause, reason, overtaken=room)
            row["reason"] = "overlap" if room else row["reason"]
            row["finished"] = self._now()
            if previous and (row["started"] or previous.at) < previous.at:
                row |= {"finished": previous.at, "duration": round(previous.at - row["started"], 4)}
            self._put(row | (left or {}))
        return found

    def has(self, slot: float) -> bool:
        """Whether this very slot of the schedule has a record."""
        sql = f"SELECT 1 FROM run WHERE {OWED} AND slot <= ? AND coalesce(last, slot) >= ? LIMIT 1"
        return bool(self._held.covering(slot, slot)) or self._one(sql, (slot, slot)) is not None

    def covering(self, first: float, last: float) -> list[Row]:
        """Return the records of the schedule that have a part in [first, last], those not written yet included."""
        sql = f"SELECT * FROM run WHERE {OWED} AND slot <= ? AND coalesce(last, slot) >= ?"
        return [*self._rows(sql, (last, first)), *self._held.covering(first, last)]

    def replace(self, old: Row, new: list[Row]) -> bool:
        """Put other records in the place of one, all or none. False: the file does not take them."""
        if self._file is None or self._held or not self._do("BEGIN IMMEDIATE"):
            return False
        done = self._do("DELETE FROM run WHERE slot = ? AND kind = ?", (old["slot"], old["kind"]))
        done = done and all(self._do(UPSERT, values(row)) for row in new) and self._do("COMMIT")
        if self._db.in_transaction:
            self._do("ROLLBACK")
        return done

    def settled(self) -> float | None:
        """Return up to when all slots are dealt with, or None in a new ledger."""
        try:
            found = settled(self._db)
        except sqlite3.Error as e:
            self._trouble(e)
            found = None
        return max((t for t in (found, self._held.settled()) if t is not None), default=None)

    def last(self) -> Row | None:
        """Return the newest run that started."""
        rows = self._rows("SELECT * FROM run WHERE started IS NOT NULL ORDER BY started DESC LIMIT 1")
        return rows[0] if rows else None

    def forget_future(self, now: float) -> None:
        """The clock was set back: slots after `now` are not missed yet. What started stays, and never starts again."""
        self._held.forget_future(now)
        self._do("DELETE FROM run WHERE started IS NULL AND slot > ?", (now,))
        self._do("UPDATE run SET last = ?, slots = NULL WHERE started IS NULL AND last > ?", (now, now))
        if (self.meta("since") or 0.0) > now:
            self.set_meta("since", now)

    def meta(self, key: str) -> Any:
        if key in self._unsaved:
            return self._meta[key]
        row = self._one("SELECT value FROM meta WHERE key = ?", (key,))
        return row[0] if row else None

    def set_meta(self, key: str, value: Any) -> None:
        self._meta[key] = value
        self._unsaved.add(key)
        self._save_meta()

    def prune(self, *, keep: float, most: int) -> None:
        """Drop rows older than `keep` seconds, and the oldest over `most`; what they settled stays settled."""
        over = self._one("SELECT slot FROM run ORDER BY slot DESC LIMIT 1 OFFSET ?", (most,))
        limit = max(self._now() - keep, over[0] if over else 0.0)
        old = f"coalesce(last, slot) <= ? AND NOT ({OPEN})"
        gone = self._one(f"SELECT max(coalesce(last, slot)) FROM run WHERE {OWED} AND {old}", (limit,))
        if gone and gone[0] is not None:
            self.set_meta("since", max(gone[0], self.meta("since") or 0.0))
        self._do(f"DELETE FROM run WHERE {old}", (limit,))

    def shut(self) -> None:
        self._db.close()

    def _put(self, row: Row) -> None:
        if self._do(UPSERT, values(row)):
            self._held.drop(row)
            self._catch_up()
        else:
            self._held.add(row)

    def _catch_up(self) -> None:
        """Write what could not be written before."""
        for row in self._held:
            if not self._do(UPSERT, values(row)):
                return
            self._held.drop(row)
        self._save_meta()

    def _save_meta(self) -> None:
        for key in sorted(self._unsaved):
            if not self._do("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, self._meta[key])):
                return
            self._unsaved.discard(key)

    def _do(self, sql: str, values: tuple[Any, ...] = ()) -> bool:
        try:
            self._db.execute(sql, values)
        except sqlite3.OperationalError as e:  # disk full, locked, read-only: the next write may succeed
            return self._trouble(e)
        except sqlite3.DatabaseError as e:  # malformed
            self._db.close()
            self._db = self._moved(e)
            self._unsaved.update(self._meta)
            return self._again(sql, values)
        if self._file is not None:
            self.problem = None
        return True

    def _again(self, sql: str, values: tuple[Any, ...]) -> bool:
        try:
            self._db.execute(sql, values)
        except sqlite3.Error as e:
            return self._trouble(e)
        return True

    def _one(self, sql: str, values: tuple[Any, ...] = ()) -> Any:
        try:
            return self._db.execute(sql, values).fetchone()
        except sqlite3.Error as e:
            self._trouble(e)
            return None

    def _rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Row]:
        try:
            return rows(self._db, sql, values)
        except sqlite3.Error as e:
            self._trouble(e)
            return []

    def _trouble(self, error: Exception) -> bool:
        """Tell it once, until a write succeeds again. Returns False: nothing was written."""
        text = f"runs go on, their history is not kept: {error} ({self._path})"
        if self.problem is None:
            self._tell("ledger", text)
        self.problem = text
        return False

    def _open(self) -> sqlite3.Connection:
        try:
            made = connect(self._path)
        except sqlite3.OperationalError as e:
            return self._without(e)
        except (sqlite3.DatabaseError, FutureVersion) as e:
            return self._moved(e)
        self._file = identity(self._path)
        return made

    def _anew(self) -> None:
        """Somebody deleted the file, or put another in its place; what was settled stays so."""
        self._meta["since"] = self.settled() or self._now()
        self._db.close()
        self._tell("ledger", f"{self._path} was deleted or replaced: the history begins anew")
        self._db = self._open()
        self._unsaved.update(self._meta)

    def _back(self) -> Gap | None:
        """Try to have the file, and put into it what is only in memory."""
        self._tried = self._now()
        try:
            found = connect(self._path)
        except (sqlite3.Error, FutureVersion):
            return None
        kept, begun = self._rows("SELECT * FROM run"), self._meta.get("since")
        self._db.close()
        self._db, self._file, self.problem = found, identity(self._path), None
        known, same = self.settled(), self.meta("trigger") == self._meta.get("trigger")
        self._unsaved.update(self._meta)
        for row in kept:
            self._put(row)
        return (known, begun) if same and known is not None and begun is not None and known < begun else None

    def _moved(self, error: Exception) -> sqlite3.Connection:
        """Put a file that cannot be used aside and begin a new one."""
        aside = f"{self._path}.unreadable-{datetime.fromtimestamp(self._now(), UTC):%Y%m%dT%H%M%SZ}"
        try:
            set_aside(self._path, aside)
            made = connect(self._path)
        except (OSError, sqlite3.Error) as e:
            return self._without(e)
        self._file = identity(self._path)
        anew = "" if made.execute("SELECT 1 FROM run LIMIT 1").fetchone() else ", the history begins anew"
        self._tell("ledger", f"{self._path}: {error}; it was moved to {aside}{anew}")
        return made

    def _without(self, error: Exception) -> sqlite3.Connection:
        self._file = None
        self._trouble(error)
        return connect(":memory:")
