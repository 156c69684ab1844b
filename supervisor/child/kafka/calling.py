"""RUNS IN A CHILD, in the main thread or in a lane: one attempt at a record or batch, and what came of each.

Decode, ask the filter, call the handler, wait until what it produced has arrived. It decides nothing: see steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from supervisor.child.context import ConsumerContext
from supervisor.child.kafka.filtering import Filter
from supervisor.child.kafka.handler import Handler, record
from supervisor.child.kafka.handover import Item, Lease
from supervisor.child.kafka.outgoing import Outgoing, Producing
from supervisor.child.kafka.report import Report
from supervisor.child.kafka.retrying import RetryTopics
from supervisor.child.runtime import Runtime
from supervisor.core.kafka.record import Record
from supervisor.core.kafka.verdicts import BatchError, parts


@dataclass(frozen=True, slots=True)
class Result:
    """Which of the records that were given, by index; what is nowhere was handled."""

    error: Exception | None = None  # of the call as a whole: of `called` nothing counts
    called: Sequence[int] = ()
    failed: Mapping[int, Exception] = field(default_factory=dict)
    untried: Sequence[int] = ()

    def whole_error(self) -> Exception | None:
        """Return what went wrong with any of `called`, when all of them count together or not at all."""
        return self.error or next((self.failed[index] for index in self.called if index in self.failed), None)

    def as_whole(self, error: Exception) -> Result:
        return Result(error, self.called, self.failed_before(), self.untried_before())

    def failed_before(self) -> dict[int, Exception]:
        """Return those that never came to the handler."""
        return {index: error for index, error in self.failed.items() if index not in self.called}

    def untried_before(self) -> list[int]:
        return [index for index in self.untried if index not in self.called]


@dataclass(slots=True)
class Call:
    context: ConsumerContext
    outgoing: Outgoing
    records: list[Record] = field(default_factory=list)
    called: Sequence[int] = ()
    failed: dict[int, Exception] = field(default_factory=dict)
    untried: list[int] = field(default_factory=list)

    def result(self, said: object = None) -> Result:
        """What the handler returned is looked at only when it speaks of a part of the batch."""
        if not isinstance(said, BatchError):
            return Result(None, self.called, self.failed, self.untried)
        try:
            found = parts(said, len(self.records))
        except ValueError as e:
            return self.result_of(e)
        failed = {self.called[index]: error for index, error in found.failed.items()}
        untried = sorted([*self.untried, *(self.called[index] for index in found.untried)])
        return Result(None, self.called, {**self.failed, **failed}, untried)

    def result_of(self, error: Exception) -> Result:
        if isinstance(error, BatchError):
            return self.result(error)
        return Result(error, self.called, self.failed, self.untried)


class Calling:
    def __init__(
        self,
        rt: Runtime,
        handler: Handler,
        report: Report,
        producing: Producing,
        retries: RetryTopics,
        filter: Filter | None,
    ) -> None:
        self._rt, self._handler, self._report = rt, handler, report
        self._producing, self._retries, self._filter = producing, retries, filter
        self._plain = filter is None and not retries  # a record is what its message holds, and each is wanted
        unused = self._call((), 1)  # most handlers take no ctx, and making one takes as long as a short handler
        self._unused = unused.context, unused.outgoing

    def __call__(self, items: Sequence[Item], attempt: int) -> Result:
        """What ends a process (SystemExit, MemoryError) is no record's fault and comes out."""
        call = self._prepared(items, attempt)
        if not call.records:
            return call.result()
        try:
            said = self._handler(call.records, call.context)
            call.outgoing.wait()
        except MemoryError:
            raise
        except Exception as e:
            return call.result_of(e)
        return call.result(said)

    def result_of(self, records: list[Record], error: Exception) -> Result:
        """What became of these when the handler, which takes no ctx, raised this; a BatchError it may also return."""
        return Call(*self._unused, records, range(len(records))).result_of(error)

    async def awaited(self, items: Sequence[Item], attempt: int) -> Result:
        """As calling it, of an async handler, in the event loop of the caller."""
        call = self._prepared(items, attempt)
        if not call.records:
            return call.result()
        try:
            said = await self._handler.awaited(call.records, call.context)
            if call.outgoing:
                await asyncio.to_thread(call.outgoing.wait)
        except MemoryError:
            raise
        except Exception as e:
            return call.result_of(e)
        return call.result(said)

    def _prepared(self, items: Sequence[Item], attempt: int) -> Call:
        call = self._call(items, attempt) if self._handler.takes_context else Call(*self._unused)
        if self._plain and self._all_prepared(call, items, attempt):
            return call
        called: list[int] = []
        ended: set[Lease] = set()  # behind a record that may have to be held nothing of its partition is handled
        for index, item in enumerate(items):
            if item.lease in ended:
                call.untried.append(index)
                continue
            try:
                found = self._record(item, attempt)
            except MemoryError:
                raise
            except Exception as e:
                call.failed[index] = e
                ended.add(item.lease)
                continue
            if found is not None:
                call.records.append(found)
                called.append(index)
        call.called = called
        return call

    def _all_prepared(self, call: Call, items: Sequence[Item], attempt: int) -> bool:
        """Return False when one cannot be decoded: then each is looked at."""
        decode = self._handler.decode
        try:
            call.records = [record(message, decode(message), attempt) for _, _, message in items]
        except MemoryError:
            raise
        except Exception:
            return False
        call.called = range(len(items))
        return True

    def _call(self, items: Sequence[Item], attempt: int) -> Call:
        outgoing = Outgoing(self._producing)
        return Call(self._context(items, attempt, outgoing), outgoing)

    def _record(self, item: Item, attempt: int) -> Record | None:
        """Return it decoded; None when the filter does not want it."""
        source = self._retries.source(item.message)
        found = record(source, self._handler.decode(source), attempt + self._retries.before(item.message))
        if self._filter is not None and not self._filter(found):
            self._report.count("filtered")
            return None
        return found

    def _context(self, items: Sequence[Item], attempt: int, outgoing: Outgoing) -> ConsumerContext:
        return ConsumerContext(
            self._rt.spec.name,
            attempt=attempt,
            leaving=lambda: self._rt.leaving,
            revoked=lambda: not all(item.lease.live for item in items),
            progress=lambda fraction, text: self._report.set(progress=round(fraction, 3), progress_text=text or None),
            produce=outgoing.produce,
        )
