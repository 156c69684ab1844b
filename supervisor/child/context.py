"""RUNS IN A CHILD: what the user's function gets as `ctx`: facts of this run or record, and two things to say."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Protocol


class Context:
    """The base for tasks and consumers. `log` writes into the child's log."""

    def __init__(self, name: str, *, attempt: int, should_stop: Callable[[], bool], progress: Progress) -> None:
        self.name = name
        self.attempt = attempt  # 1 for the first
        self.log = logging.getLogger(name)
        self._should_stop = should_stop
        self._progress = progress

    def should_stop(self) -> bool:
        """Whether the process is to end: a long loop asks this and returns early, its work in a good state."""
        return self._should_stop()

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far it is (0 to 1); `supervisor status` shows it."""
        self._progress(min(1.0, max(0.0, float(fraction))), str(text)[:100])


Progress = Callable[[float, str], None]


class TaskContext(Context):
    """What a task gets: which slot it runs for, and how the last run went."""

    def __init__(self, name: str, *, slot: float, kind: str, previous: Mapping[str, Any] | None, **rest: Any) -> None:
        super().__init__(name, **rest)
        self.slot = slot  # epoch seconds; with `name` it is a key for what must be done once
        self.kind = kind  # schedule, start, manual, backfill
        self.scheduled_for = datetime.fromtimestamp(slot, UTC)
        self.previous = previous  # the record of the run before, as in `history --json`


Headers = Mapping[str, str | bytes | None] | Iterable[tuple[str, str | bytes | None]]


class Produces(Protocol):
    def __call__(self, topic: str, value: Any, *, key: str | bytes | None = None, headers: Headers = ()) -> None: ...


class OpensLedger(Protocol):
    def __call__(self, connection: Any, *, commit: bool = True) -> AbstractContextManager[None]: ...


def _no_ledger(connection: Any, *, commit: bool = True) -> AbstractContextManager[None]:
    raise RuntimeError('ctx.ledger needs delivery = "ledger" in [consumers.NAME] of config.toml')


class ConsumerContext(Context):
    """What a handler gets: whether its records are still its own, and a way to produce others."""

    open_ledger: OpensLedger = staticmethod(_no_ledger)

    def __init__(
        self, name: str, *, leaving: Callable[[], bool], revoked: Callable[[], bool], produce: Produces, **rest: Any
    ) -> None:
        super().__init__(name, should_stop=lambda: leaving() or revoked(), **rest)
        self._leaving, self._revoked, self._produce = leaving, revoked, produce

    @property
    def stopping(self) -> bool:
        """The process is to end; what is in hand may finish."""
        return self._leaving()

    @property
    def revoked(self) -> bool:
        """A partition of these records went to another member: what is done now, is done there again."""
        return self._revoked()

    def produce(self, topic: str, value: Any, *, key: str | bytes | None = None, headers: Headers = ()) -> None:
        """Send a record: bytes, text, None (a tombstone), or what JSON or `model_dump_json` can write.

        It does not wait here. The record in hand counts as done only when all replicas have what was produced;
        when they have not, the handler is called again. So the same may be produced twice.
        """
        self._produce(topic, value, key=key, headers=headers)

    def ledger(self, connection: Any, *, commit: bool = True) -> AbstractContextManager[None]:
        """Keep what is stored in the block together with the records' offsets, once: `with ctx.ledger(session):`

        `connection`: a Session or Connection of SQLAlchemy, or one of Python's database API (sqlite3, psycopg).
        It is committed at the end of the block, unless `commit` is False: then you commit it yourself.
        The block raises when another process has stored these records already: let that out.
        """
        return self.open_ledger(connection, commit=commit)
