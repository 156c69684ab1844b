"""RUNS IN A CHILD, in any thread that handles records: the ledger's few statements, on whatever connection it is given.

A Session or Connection of SQLAlchemy, or a connection of Python's database API (sqlite3, psycopg).
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

TABLE = "forkwarden_offsets"
CREATE = f"""CREATE TABLE IF NOT EXISTS {TABLE} (
  origin VARCHAR(120) NOT NULL,
  group_id VARCHAR(255) NOT NULL,
  topic VARCHAR(255) NOT NULL,
  part INTEGER NOT NULL,
  next_offset BIGINT NOT NULL,
  PRIMARY KEY (origin, group_id, topic, part)
)"""
_ROW = "origin = :origin AND group_id = :group_id AND topic = :topic AND part = :part"
SELECT = f"SELECT next_offset FROM {TABLE} WHERE {_ROW}"
INSERT = f"INSERT INTO {TABLE} VALUES (:origin, :group_id, :topic, :part, :next_offset)"
UPDATE = f"UPDATE {TABLE} SET next_offset = :next_offset WHERE {_ROW} AND next_offset = :expected"
_NAMED = re.compile(r":([a-z_]+)")


class Sql(Protocol):
    def execute(self, text: str, values: Mapping[str, Any]) -> Any:
        """Return a result with `rowcount`."""

    def first(self, text: str, values: Mapping[str, Any]) -> Any:
        """Return the first column of the first row, None when there is none."""

    def commit(self) -> None: ...

    def rollback(self) -> None: ...


def sql(connection: Any) -> Sql:
    """Raises TypeError for what is no connection."""
    if inspect.iscoroutinefunction(getattr(connection, "commit", None)):
        raise TypeError(f"the ledger takes no async connection, found {_name(connection)}: give it a plain session")
    kind = type(connection)
    if any(base.__module__.startswith("sqlalchemy.") for base in kind.__mro__) and hasattr(connection, "execute"):
        return _SqlAlchemy(connection)
    if all(hasattr(connection, name) for name in ("cursor", "commit", "rollback")):
        return _DbApi(connection)
    raise TypeError(f"the ledger takes a session or a connection of a database, found {_name(connection)}")


def _name(connection: Any) -> str:
    return f"{type(connection).__module__}.{type(connection).__qualname__}"


class _SqlAlchemy:
    def __init__(self, connection: Any) -> None:
        from sqlalchemy import text  # who gives us its connection has it

        self._connection = connection
        self._text: Callable[[str], Any] = text

    def execute(self, text: str, values: Mapping[str, Any]) -> Any:
        return self._connection.execute(self._text(text), dict(values))

    def first(self, text: str, values: Mapping[str, Any]) -> Any:
        row = self.execute(text, values).first()
        return None if row is None else row[0]

    def commit(self) -> None:
        self._connection.commit()

    def rollback(self) -> None:
        self._connection.rollback()


class _DbApi:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        library = type(connection).__module__.partition(".")[0]
        self._style = str(getattr(sys.modules.get(library), "paramstyle", "qmark"))

    def execute(self, text: str, values: Mapping[str, Any]) -> Any:
        connection = self._connection
        if getattr(connection, "isolation_level", "") is None and not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")  # sqlite3 in autocommit: only a transaction makes it one
        cursor = connection.cursor()
        cursor.execute(*_worded(text, values, self._style))
        return cursor

    def first(self, text: str, values: Mapping[str, Any]) -> Any:
        row = self.execute(text, values).fetchone()
        return None if row is None else row[0]

    def commit(self) -> None:
        self._connection.commit()

    def rollback(self) -> None:
        self._connection.rollback()


def _worded(text: str, values: Mapping[str, Any], style: str) -> tuple[str, Any]:
    """Return the statement and its values as the library wants them."""
    if style == "pyformat":
        return _NAMED.sub(r"%(\1)s", text), dict(values)
    if style == "named":
        return text, dict(values)
    return _NAMED.sub("%s" if style == "format" else "?", text), [values[name] for name in _NAMED.findall(text)]
