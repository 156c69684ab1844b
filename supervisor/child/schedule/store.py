"""RUNS IN A CHILD: the file under a ledger: read, written, and done without while it cannot be had.

Trouble with it never keeps a run from happening: the file is moved aside, or what could not be written is held until
it can be. It is told once, until a write succeeds again.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from supervisor.child.schedule.held import Held
from supervisor.child.schedule.ledger_file import (
    UPSERT,
    FutureVersion,
    Row,
    broken,
    connect,
    identity,
    rows,
    set_aside,
    settled,
    values,
    written,
)

PATIENT, SHORT = 2.0, 0.005  # seconds to wait for somebody's lock: while all is well, and once it was in vain
AGAIN = 5.0  # seconds between two looks whether the file can be had by now
Tell = Callable[[str, str], None]  # code, text
Gap = tuple[float, float]  # epoch seconds, after and until


class Store:
    """Autocommit, one statement per fact: a signal handler may write between any two, and a kill leaves the truth."""

    def __init__(self, path: str, tell: Tell, *, now: Callable[[], float] = time.time) -> None:
        self._path, self._tell, self._now = path, tell, now
        self.problem: str | None = None  # why records are not kept, until they are again
        self._held = Held()
        self._meta: dict[str, Any] = {}  # what this process said: a file that begins anew is told again
        self._unsaved: set[str] = set()  # keys of it
        self._file: tuple[int, int] | None = None  # which file is open; None: there is none, records are in memory
        self._written: tuple[int, ...] = ()  # what the file looked like after our last write
        self._tried = now()
        self._db = self._open()

    def look(self) -> Gap | None:
        """Is the file at its path still the open one, and can be written what could not?

        Returns a time of which neither the file nor this process has records.
        """
        if self._file is None:
            return self._back() if not 0 <= self._now() - self._tried < AGAIN else None
        if identity(self._path) != self._file:
            self._anew()
        elif written(self._path) != self._written:
            self._look_inside()
        self._catch_up()
        return None

    def settled(self) -> float | None:
        """Return up to when all slots are dealt with, or None in a new ledger."""
        try:
            found = settled(self._db)
        except sqlite3.Error as e:
            self._trouble(e)
            found = None
        return max((t for t in (found, self._held.settled()) if t is not None), default=None)

    def meta(self, key: str) -> Any:
        if key in self._unsaved:
            return self._meta[key]
        row = self._one("SELECT value FROM meta WHERE key = ?", (key,))
        return row[0] if row else None

    def set_meta(self, key: str, value: Any) -> None:
        self._meta[key] = value
        self._unsaved.add(key)
        self._save_meta()

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
        untouched = written(self._path) == self._written  # else the next look is to see it
        try:
            self._db.execute(sql, values)
        except sqlite3.OperationalError as e:  # disk full, locked, read-only: the next write may succeed
            self._wait_for_locks(SHORT)
            return self._trouble(e)
        except sqlite3.DatabaseError as e:  # malformed
            self._spoiled(e)
            return self._again(sql, values)
        if untouched:
            self._written = written(self._path)
        if self._file is not None and self.problem is not None:
            self.problem = None
            self._wait_for_locks(PATIENT)
        return True

    def _again(self, sql: str, values: tuple[Any, ...]) -> bool:
        try:
            self._db.execute(sql, values)
        except sqlite3.Error as e:
            return self._trouble(e)
        self._written = written(self._path)
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

    def _wait_for_locks(self, seconds: float) -> None:
        """Who holds the file for long must not hold up each run: they go on without, in time."""
        with suppress(sqlite3.Error):
            self._db.execute(f"PRAGMA busy_timeout = {1000 * seconds:.0f}")

    def _open(self) -> sqlite3.Connection:
        try:
            made = connect(self._path)
        except sqlite3.OperationalError as e:
            return self._without(e)
        except (sqlite3.DatabaseError, FutureVersion) as e:
            return self._moved(e)
        self._file, self._written = identity(self._path), written(self._path)
        return made

    def _anew(self) -> None:
        """Somebody deleted the file, or put another in its place; what was settled stays so."""
        self._meta["since"] = self.settled() or self._now()
        self._db.close()
        self._tell("ledger", f"{self._path} was deleted or replaced: the history begins anew")
        self._db = self._open()
        self._unsaved.update(self._meta)

    def _look_inside(self) -> None:
        """Somebody else wrote into the file: where that spoiled it, a new one begins with what can still be read."""
        seen = written(self._path)
        with suppress(sqlite3.OperationalError):  # locked: the next look tells
            if (error := broken(self._path)) is not None:
                self._spoiled(error)
            else:
                self._written = seen

    def _spoiled(self, error: sqlite3.DatabaseError) -> None:
        kept, known = self._salvaged()
        self._meta["since"] = (
            known or self._now()
        )  # of what cannot be read any slot may have started: none starts again
        self._db.close()
        self._db = self._moved(error, kept)
        self._unsaved.update(self._meta)

    def _salvaged(self) -> tuple[list[Row], float | None]:
        """Return what the open file and its memory still tell, and up to when it is settled, if that is whole."""
        with suppress(sqlite3.Error):
            if self._db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok":
                return rows(self._db, "SELECT * FROM run"), settled(self._db)
        return [], None

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
        self._written = written(self._path)
        known, same = self.settled(), self.meta("trigger") == self._meta.get("trigger")
        self._unsaved.update(self._meta)
        for row in kept:
            self._put(row)
        return (known, begun) if same and known is not None and begun is not None and known < begun else None

    def _moved(self, error: Exception, kept: Sequence[Row] = ()) -> sqlite3.Connection:
        """Put a file that cannot be used aside and begin a new one with what was kept of it."""
        aside = f"{self._path}.unreadable-{datetime.fromtimestamp(self._now(), UTC):%Y%m%dT%H%M%SZ}"
        try:
            set_aside(self._path, aside)
            made = connect(self._path)
            made.executemany(UPSERT, map(values, kept))
        except (OSError, sqlite3.Error) as e:
            return self._without(e)
        self._file, self._written = identity(self._path), written(self._path)
        anew = "" if made.execute("SELECT 1 FROM run LIMIT 1").fetchone() else ", the history begins anew"
        self._tell("ledger", f"{self._path}: {error}; it was moved to {aside}{anew}")
        return made

    def _without(self, error: Exception) -> sqlite3.Connection:
        self._file = None
        self._trouble(error)
        return connect(":memory:")
