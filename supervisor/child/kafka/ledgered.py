"""RUNS IN A CHILD, in the main thread or in a lane: records that count only with the ledger.

`with ctx.ledger(session):` moves the offsets first, so that whoever comes too late ends before it has done anything;
the block's own statements follow, and one commit keeps both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from supervisor.child.kafka.calling import Call, Calling, Result
from supervisor.child.kafka.handover import Item
from supervisor.child.kafka.ledger import Ledger, Moved, SetBack
from supervisor.child.kafka.ledger_sql import sql
from supervisor.core.kafka.verdicts import StopPartition

UNUSED = (
    'delivery is "ledger", and the handler returned without `with ctx.ledger(session):` around what it stores '
    "(a record that is to be passed: raise Skip)"
)
UNKEPT = "the block of ctx.ledger failed, and the handler went on as if it had not"


class NotKept(Exception):
    """The handler returned, but its record is not in the ledger."""


class _Entry:
    """One call's use of the ledger."""

    def __init__(self, ledger: Ledger, items: Sequence[Item]) -> None:
        self._ledger, self._items = ledger, items
        self.begun = self.kept = False
        self.moved: Moved | None = None
        self.set_back: SetBack | None = None
        self._moves = ledger.moves(items)

    @contextmanager
    def open(self, connection: Any, *, commit: bool = True) -> Iterator[None]:
        """See ConsumerContext.ledger."""
        if self.kept:
            raise RuntimeError("ctx.ledger was used already in this call: put all that is to be kept into one block")
        self.begun = True
        found = sql(connection)
        try:
            self._ledger.move(found, self._moves)
        except Moved as e:
            self.moved = e
            raise
        except SetBack as e:
            self.set_back = e
            raise
        try:
            yield
            if commit:
                found.commit()
        except BaseException:
            found.rollback()
            raise
        self.kept = True

    def end(self, *, well: bool) -> None:
        """The call is over, its resources are closed."""
        if well and self.kept:
            self._ledger.kept(self._moves)
        elif self.begun:
            self._ledger.unsure(self._moves)


_entry: ContextVar[_Entry | None] = ContextVar("entry", default=None)  # of the call in this thread, or this task


class Ledgered(Calling):
    def __init__(self, ledger: Ledger, *rest: Any) -> None:
        super().__init__(*rest)
        self._ledger = ledger

    def __call__(self, items: Sequence[Item], attempt: int) -> Result:
        _entry.set(None)
        return self._without_kept(items) or self._ended(items, super().__call__(items, attempt))

    async def awaited(self, items: Sequence[Item], attempt: int) -> Result:
        _entry.set(None)
        return self._without_kept(items) or self._ended(items, await super().awaited(items, attempt))

    def _without_kept(self, items: Sequence[Item]) -> Result | None:
        """Those that another kept already are done; the rest is to be tried apart from them."""
        fresh = [index for index, item in enumerate(items) if not self._ledger.is_kept(item)]
        return Result(untried=fresh) if len(fresh) < len(items) else None

    def _prepared(self, items: Sequence[Item], attempt: int) -> Call:
        call = super()._prepared(items, attempt)
        entry = _Entry(self._ledger, [items[index] for index in call.called])
        call.context.open_ledger = entry.open
        _entry.set(entry)
        return call

    def _ended(self, items: Sequence[Item], result: Result) -> Result:
        entry = _entry.get()
        if entry is None or not result.called:
            return result
        error = StopPartition(str(entry.set_back)) if entry.set_back else result.whole_error()
        if entry.moved is None and error is None and not entry.kept:
            error = NotKept(UNKEPT if entry.begun else UNUSED)
        entry.end(well=error is None and entry.moved is None)
        if entry.moved is not None:
            open_ = [index for index in result.called if not self._ledger.is_kept(items[index])]
            return Result(failed=result.failed_before(), untried=sorted({*open_, *result.untried_before()}))
        return result if error is None else result.as_whole(error)
