"""RUNS IN PYTEST: the shipped tasks against a database of the test's own, each call with a session as in a run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from supervisor import Context, Record
from tasks import database, events, notifications
from tasks.database import Notification


class Pipeline:
    def __init__(self, url: str) -> None:
        self.url = url

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open the resource and close it, as a run does."""
        with contextmanager(database.session)() as db:
            yield db

    def store(self, value: Any) -> None:
        with self.session() as db:
            events.store(Record(value=value), db)

    def deliver(self, *, leaving: bool = False) -> dict[str, int]:
        with self.session() as db:
            return asyncio.run(notifications.deliver(db, context(leaving=leaving)))

    def rows(self) -> list[Notification]:
        with self.session() as db:
            return list(db.scalars(sa.select(Notification).order_by(Notification.id)))

    def add(self, event_id: str, **columns: Any) -> None:
        """Write a row as if it had come some time ago."""
        values = {**event(event_id), "created_at": datetime.now(UTC), "attempts": 0, **columns}
        with self.session() as db:
            db.execute(sa.insert(Notification).values(values))
            db.commit()

    def wait_is_over(self) -> None:
        """Move every row's next attempt into the past."""
        with self.session() as db:
            db.execute(sa.update(Notification).values(not_before=datetime.now(UTC) - timedelta(seconds=1)))
            db.commit()

    def in_use(self) -> int:
        """Return the connections that a session still holds."""
        pool = database.engine(database.url()).pool
        assert isinstance(pool, sa.QueuePool)
        return pool.checkedout()

    def at_once(self, count: int, work: Any) -> list[BaseException]:
        """Run `work` in that many threads that start together; return what they raised."""
        gate, raised = threading.Barrier(count), []

        def run() -> None:
            gate.wait(10)
            try:
                work()
            except BaseException as error:
                raised.append(error)

        threads = [threading.Thread(target=run) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return raised


@contextmanager
def pipeline(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """Point tasks/ at `url`; afterwards close what its engine holds."""
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.delenv("NOTIFY_WEBHOOK", raising=False)
    try:
        yield Pipeline(url)
    finally:
        database.engine(database.url()).dispose()
        database.engine.cache_clear()


def event(event_id: str, **changes: Any) -> Mapping[str, Any]:
    return {"event_id": event_id, "user_id": "user-7", "event": "order_shipped", "content": "On its way.", **changes}


def context(*, leaving: bool = False) -> Context:
    return Context("notifications", attempt=1, should_stop=lambda: leaving, progress=lambda fraction, text: None)
