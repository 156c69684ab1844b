"""RUNS IN A CHILD, and in the user's terminal for `history`: the file of a ledger, how it is made, opened and read."""

from __future__ import annotations

import functools
import math
import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from supervisor import plain
from supervisor.core.words import LATEST

VERSION = 2
MEMORY = ":memory:"
OPEN = "finished IS NULL AND state IN ('running', 'interrupted')"
OWED = "kind IN ('schedule', 'backfill')"  # records of what the schedule asks for
MISSED = "kind = 'schedule' AND state = 'missed'"
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS run (
        slot REAL NOT NULL, kind TEXT NOT NULL, last REAL, slots INTEGER, state TEXT NOT NULL, reason TEXT,
        attempt INTEGER, started REAL, finished REAL, duration REAL, lateness REAL, error TEXT, result TEXT, id TEXT,
        cpu REAL, rss INTEGER, stacks TEXT, PRIMARY KEY (slot, kind)) WITHOUT ROWID""",
)
_NEW = {1: tuple(f"ALTER TABLE run ADD COLUMN {column}" for column in ("cpu REAL", "rss INTEGER", "stacks TEXT"))}
_COLUMNS = ("slot", "kind", "last", "slots", "state", "reason", "attempt", "started", "finished", "duration")
COLUMNS = (*_COLUMNS, "lateness", "error", "result", "id", "cpu", "rss", "stacks")
UPSERT = f"INSERT OR REPLACE INTO run ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
_ENDS = ("", "-wal", "-shm")
_TIMES = ("slot", "last", "started", "finished")
Row = dict[str, Any]


class FutureVersion(Exception):
    """A later release wrote this file."""


def connect(path: str) -> sqlite3.Connection:
    """Open or make the writer's file. Raises sqlite3.Error and FutureVersion."""
    if odd := _odd(path):
        raise sqlite3.DatabaseError(f"expected a file, found something else ({', '.join(odd)})")
    if path != MEMORY and not os.path.exists(path):
        _build(path)
    db = sqlite3.connect(path, timeout=2.0, isolation_level=None, cached_statements=16)
    try:
        db.execute("PRAGMA cache_size = -64")  # KiB: a ledger is appended to, there is one per child
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise FutureVersion(f"it is of version {version}, this release writes version {VERSION}")
        if (said := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(said.splitlines()[-1])
        db.execute("PRAGMA journal_mode = WAL")
        if version < VERSION:
            _make(db, version)
        _begin_log(db, f"{path}-wal")
        db.execute("PRAGMA synchronous = NORMAL")  # kill -9 loses nothing; a power cut may lose the last rows
    except BaseException:
        db.close()
        raise
    return db


def _begin_log(db: sqlite3.Connection, log: str) -> None:
    """Write the first change without fsync: behind a log that is empty stands nothing that could be mixed up with it.

    SQLite would wait for the disk twice, and with it each child of a start.
    """
    with suppress(OSError, sqlite3.OperationalError):  # disk full, locked: what is written later says so
        if os.stat(log).st_size == 0:
            db.execute("PRAGMA synchronous = OFF")
            db.execute("INSERT OR REPLACE INTO meta VALUES ('pid', ?)", (os.getpid(),))


def _build(path: str) -> None:
    """Write a new file beside its place, without fsync: it gets its name when it is whole.

    What a power cut leaves of it has no records, and is made again.
    """
    fresh = f"{path}.new"
    try:
        _remove(fresh)  # of one who was killed
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644), "wb") as file:
            file.write(_empty())
        _remove(path)  # the log of changes of a file that was deleted would be played into this one
        os.rename(fresh, path)
    except OSError as e:
        raise sqlite3.OperationalError(f"it cannot be made: {e.strerror or e}") from e


@functools.cache
def _empty() -> bytes:
    """Return the bytes of a ledger without records: made once, before the fork, and not once by each child."""
    db = sqlite3.connect(MEMORY, isolation_level=None)
    try:
        _make(db, 0)
        image = bytearray(db.serialize())
    finally:
        db.close()
    image[18:20] = b"\2\2"  # read and written with a log of changes: PRAGMA journal_mode cannot say it in memory
    return bytes(image)


def _remove(path: str) -> None:
    for end in ("", "-journal", "-wal", "-shm"):
        try:
            os.unlink(path + end)
        except FileNotFoundError:
            pass  # the usual case


def _make(db: sqlite3.Connection, version: int) -> None:
    """All of it or nothing: who is killed in between leaves a file that the next one makes."""
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement in _NEW.get(version, _SCHEMA):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def set_aside(path: str, aside: str) -> None:
    """Rename what is in the way: what is no file at all, else the whole ledger. Raises OSError."""
    for each in _odd(path) or [path + end for end in _ENDS if os.path.lexists(path + end)]:
        os.replace(each, aside + each.removeprefix(path))


def _odd(path: str) -> list[str]:
    """SQLite would follow a link and wait for a FIFO."""
    return [path + end for end in _ENDS if plain.is_other(path + end)]


def warm_up() -> None:
    """Let SQLite set itself up; nothing stays open."""
    connect(MEMORY).close()
    _empty()


def identity(path: str) -> tuple[int, int] | None:
    """Which file stands there; None: none does."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def written(path: str) -> tuple[int, ...]:
    """When file and log of changes were last written to, and their sizes: others than the writer leave them alone."""
    found: tuple[int, ...] = ()
    for each in (path, f"{path}-wal"):
        with suppress(OSError):
            stat = os.stat(each)
            found += (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    return found


def broken(path: str) -> sqlite3.DatabaseError | None:
    """Return why what stands there cannot be read by others; None: it can. Raises OperationalError: not to be had now.

    A connection goes on with what it has in memory, whatever became of its file. Opening it once more is safe by
    SQLite alone: closing any other descriptor of the file would give up the locks of this process.
    """
    db = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=0.0)
    try:
        said = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if said == "ok" and not db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'run'").fetchone()[0]:
            said = "its records are gone"
        return None if said == "ok" else sqlite3.DatabaseError(said.splitlines()[-1])
    except sqlite3.DatabaseError as e:
        if isinstance(e, sqlite3.OperationalError) and e.sqlite_errorcode != sqlite3.SQLITE_IOERR_SHORT_READ:
            raise
        return e
    finally:
        db.close()


def values(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return a row as UPSERT wants it."""
    return tuple(row.get(column) for column in COLUMNS)


def rows(db: sqlite3.Connection, sql: str, values: tuple[Any, ...] = ()) -> list[Row]:
    cursor = db.execute(sql, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


@dataclass(frozen=True, slots=True)
class Contents:
    """What the file says: the newest rows, the latest last, and up to when all slots are dealt with."""

    rows: list[Row]
    settled: float | None
    meta: dict[str, Any]


def contents(path: str, *, limit: int, only: str = "TRUE", now: float = math.inf) -> Contents:
    """Read the newest `limit` rows that are `only` so. Raises sqlite3.Error when the file cannot be read.

    Rows of times to come were written before the clock was set back: they are older than those of `now`.
    """
    db = _reader(path)
    try:
        at = "coalesce(started, last, slot)"
        found = rows(db, f"SELECT * FROM run WHERE {only} ORDER BY {at} > ?, {at} DESC LIMIT ?", (now, limit))
        return Contents(found[::-1], settled(db), dict(db.execute("SELECT key, value FROM meta")))
    finally:
        db.close()


def taken(path: str, after: float, until: float) -> list[tuple[float, float]]:
    """Return first and last slot of the schedule's records that have a part in (after, until]. Raises sqlite3.Error."""
    db = _reader(path)
    try:
        sql = f"SELECT slot, coalesce(last, slot) FROM run WHERE {OWED} AND slot <= ? AND coalesce(last, slot) > ?"
        return [(row[0], row[1]) for row in db.execute(sql, (until, after))]
    finally:
        db.close()


def missed(path: str, since: float, until: float) -> tuple[list[Row], object]:
    """Return the records of missed slots that reach into that time, in order, and the schedule they follow.

    Raises sqlite3.Error when the file cannot be read.
    """
    db = _reader(path)
    try:
        sql = f"SELECT * FROM run WHERE {MISSED} AND slot <= ? AND coalesce(last, slot) >= ? ORDER BY slot"
        schedule = db.execute("SELECT value FROM meta WHERE key = 'schedule'").fetchone()
        return rows(db, sql, (until, since)), schedule[0] if schedule else None
    finally:
        db.close()


def records(path: str, *, limit: int = 20) -> list[Row]:
    """Return the newest `limit` records as the file has them, the latest last, with times as RFC 3339."""
    task = os.path.basename(path).removesuffix(".db")
    return [record(task, row) for row in contents(path, limit=limit).rows]


def settled(db: sqlite3.Connection) -> float | None:
    """Return up to when all slots are dealt with, or None in a new ledger."""
    found = db.execute(f"SELECT max(coalesce(last, slot)) FROM run WHERE {OWED}").fetchone()
    since = db.execute("SELECT value FROM meta WHERE key = 'since'").fetchone()
    return max((row[0] for row in (found, since) if row and row[0] is not None), default=None)


def record(task: str, row: Mapping[str, Any]) -> Row:
    """Return a row as people and programs exchange it; what it does not have is left out."""
    made = {"task": task} | {key: value for key in COLUMNS if (value := row.get(key)) is not None}
    return made | {key: stamp(made[key]) for key in _TIMES if key in made}


def stamp(t: float) -> str:
    """A file that others wrote into may hold a time that is no date: it is told as the last one there is."""
    time = datetime.fromtimestamp(min(max(t, 0.0), LATEST - 1), UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _reader(path: str) -> sqlite3.Connection:
    """A reader of a folder that it may not write in cannot share the log of changes: it reads what is in the file."""
    if plain.is_other(path):
        raise sqlite3.OperationalError("expected a file, found something else")
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
