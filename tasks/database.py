"""RUNS IN A CHILD: the application's own database, SQLite or PostgreSQL by one URL.

`session` is the resource `db` of config.toml: a function or a run that has a parameter `db` gets a fresh session,
which is closed on every path. Who writes commits; what was not committed is rolled back.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.schema import CreateIndex, CreateTable

LOCK_WAIT = 20.0  # seconds; on SQLite one process writes at a time, the others wait for it
_SCHEMA_LOCK = 0x666F726B  # any number that nothing else on the server takes as an advisory lock


class Utc(sa.TypeDecorator[datetime]):
    """An instant. SQLite has no zones, so UTC goes in without one and comes out with one."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    pass


class Notification(Base):
    """One per event, whatever is redelivered: `event_id` is unique."""

    __tablename__ = "notifications"
    __table_args__ = (sa.Index("notifications_by_sent_at", "sent_at", "id"),)

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    event_id: Mapped[str] = mapped_column(sa.String(200), unique=True)
    user_id: Mapped[str] = mapped_column(sa.String(200))
    event: Mapped[str] = mapped_column(sa.String(200))
    content: Mapped[str] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(Utc)
    sent_at: Mapped[datetime | None] = mapped_column(Utc)
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None] = mapped_column(sa.Text)
    not_before: Mapped[datetime | None] = mapped_column(Utc)


class Report(Base):
    """Counts at one moment, written by tasks.maintenance:report."""

    __tablename__ = "notification_reports"

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    at: Mapped[datetime] = mapped_column(Utc)
    waiting: Mapped[int]
    failing: Mapped[int]
    sent: Mapped[int]


def session() -> Iterator[Session]:
    """Give one fresh session. A generator, as a FastAPI dependency is; it works there unchanged."""
    with Session(engine(url()), expire_on_commit=False) as db:
        yield db


def url() -> str:
    """Return DATABASE_URL; without it, a SQLite file in the state folder."""
    given = os.environ.get("DATABASE_URL")
    if not given:
        return f"sqlite:///{state_folder() / 'app.db'}"
    scheme, _, rest = given.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgres", "postgresql") else given


def state_folder() -> Path:
    """The supervisor tells its children where it is; outside of one it is beside config.toml."""
    return Path(os.environ.get("FORKWARDEN_STATE_DIR") or Path(__file__).resolve().parent.parent / ".supervisor")


def insert_or_ignore(db: Session, table: type[Base], values: dict[str, Any]) -> bool:
    """INSERT … ON CONFLICT DO NOTHING. Return whether the row is new."""
    insert = postgresql.insert if db.get_bind().dialect.name == "postgresql" else sqlite.insert
    result = db.execute(insert(table).values(values).on_conflict_do_nothing())
    return bool(getattr(result, "rowcount", 0))


@functools.cache
def engine(address: str) -> sa.Engine:
    """Return this process's engine, its tables made. One connection does: runs come one after another."""
    made = sa.create_engine(address, pool_size=1, pool_pre_ping=True, connect_args=_connect_args(address))
    if made.dialect.name == "sqlite":
        _prepare_sqlite(made)
    _create_tables(made)
    return made


def _connect_args(address: str) -> dict[str, Any]:
    parsed = sa.make_url(address)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        return {"timeout": LOCK_WAIT}
    return {"connect_timeout": 10, "application_name": "notifications"}


def _prepare_sqlite(made: sa.Engine) -> None:
    """Readers and the writer do not wait for each other in WAL mode; it stays with the file."""
    end = time.monotonic() + LOCK_WAIT
    while True:
        try:
            with made.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            return
        except sa.exc.OperationalError:  # another process switches at this moment; SQLite does not wait here by itself
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _create_tables(made: sa.Engine) -> None:
    """IF NOT EXISTS, and one process at a time: PostgreSQL's own check has a race."""
    with made.begin() as connection:
        if made.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
        for table in Base.metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))
