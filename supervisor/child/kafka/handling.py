"""RUNS IN A CHILD, in its main thread: one batch after the other through the handler, retried in place."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Any

from supervisor.child.context import Context
from supervisor.child.kafka.handler import Handler, record
from supervisor.child.kafka.handover import Handover, Item
from supervisor.child.kafka.quarantine import Quarantine
from supervisor.child.kafka.rejection import MARGIN, Rejection, at, enter, say
from supervisor.child.kafka.report import Report
from supervisor.child.resources import ResourceUnavailable
from supervisor.child.runtime import Runtime
from supervisor.core.kafka.away import is_away
from supervisor.core.kafka.decode import Undecodable
from supervisor.core.lifecycle.backoff import delay
from supervisor.core.spec import ConsumerSettings

log = logging.getLogger(__name__)

Pairs = list[tuple[Item, Any]]  # with the decoded value


class Handling:
    """`leaving` says that nothing new is to be begun."""

    def __init__(
        self,
        rt: Runtime,
        settings: ConsumerSettings,
        handler: Handler,
        handover: Handover,
        report: Report,
        rejection: Rejection,
        leaving: Callable[[], bool],
    ) -> None:
        self._rt, self._settings, self._handler = rt, settings, handler
        self._handover, self._report, self._rejection = handover, report, rejection
        self._leaving = leaving
        self._quarantine = Quarantine(rt)

    def batch(self, items: list[Item]) -> None:
        """Return when each is finished, held, or no longer ours; earlier when the process leaves."""
        self._quarantine.collect()
        if self._handler.shape.batch and not self._quarantine.alone(items):
            self._together(items)
            return
        for item in items:
            if self._leaving():
                return
            self._alone(item)

    def _alone(self, item: Item, tried: int = 0) -> None:
        """`tried`: attempts that it had as part of a batch."""
        if poisoned := self._quarantine.verdict(item):
            self._rejection.reject(item, poisoned)
            return
        try:
            value = self._handler.decode(item.message)
        except Undecodable as e:
            self._rejection.reject(item, e)
            return
        error = self._attempts([(item, value)], tried)
        if error is not None:
            self._rejection.reject(item, error)

    def _together(self, items: list[Item]) -> None:
        """First the batch; when it fails record by record, so that one bad record is alone to blame."""
        pairs, blocked = self._decoded(items)
        error = self._attempts(pairs) if pairs else None
        if error is not None:
            log.warning("a batch of %d failed: %s; now record by record", len(pairs), say(error))
            for item, _ in pairs:
                if self._leaving():
                    return
                self._alone(item, self._settings.retries)
        for item, reason in blocked:
            self._rejection.hold(item, reason)

    def _decoded(self, items: list[Item]) -> tuple[Pairs, list[tuple[Item, Exception]]]:
        """Return the good ones, and the bad ones that no dead-letter topic took: their partition ends there."""
        pairs: Pairs = []
        blocked: dict[Any, tuple[Item, Exception]] = {}
        for item in items:
            if item.lease in blocked:
                continue
            try:
                pairs.append((item, self._handler.decode(item.message)))
            except Undecodable as e:
                reason = self._rejection.letter(item, e)
                if reason is not None:
                    blocked[item.lease] = (item, reason)
        return pairs, list(blocked.values())

    def _attempts(self, pairs: Pairs, tried: int = 0) -> Exception | None:
        """Call the handler until it succeeds. Return its last error when no attempt is left."""
        attempt = max(tried, self._rejection.attempts(pairs[0][0]))
        while not self._leaving() and (pairs := self._ours(pairs)):
            error = self._call_with_dependencies(pairs, attempt + 1)
            if error is None:
                break
            attempt += 1
            self._rejection.failed(pairs[0][0], attempt)
            if attempt > self._settings.retries:
                return error
            self._retry_later(pairs, error, attempt)
        return None

    def _call_with_dependencies(self, pairs: Pairs, attempt: int) -> Exception | None:
        """As `_call`; while what the handler needs is away, wait: the record is not at fault, it costs no attempt."""
        error = self._call(pairs, attempt)
        times = 0
        while error is not None and _is_away(error):
            times += 1
            self._wait_for_dependency(pairs, error, times)
            if self._leaving() or not (pairs := self._ours(pairs)):
                error = None
                break
            error = self._call(pairs, attempt)
        if times:
            self._report.waiting("dependency", None)
        return error

    def _ours(self, pairs: Pairs) -> Pairs:
        ours = {id(item) for item in self._handover.take(item for item, _ in pairs)}
        return [pair for pair in pairs if id(pair[0]) in ours]

    def _call(self, pairs: Pairs, attempt: int) -> Exception | None:
        """One attempt. What ends a process (SystemExit, MemoryError) is no record's fault and comes out."""
        first = pairs[0][0]
        records = [record(item.message, value, attempt) for item, value in pairs]
        timeout = self._settings.handler_timeout
        enter(
            self._rt,
            "handling" if len(pairs) == 1 else "handling batch",
            first,
            None if timeout is None else timeout + MARGIN,
        )
        try:
            self._handler(records, self._context(first, attempt))
        except MemoryError:
            raise
        except Exception as e:
            return e
        else:
            self._handover.finish(item for item, _ in pairs)
            self._rejection.over(first)
            return None
        finally:
            self._handover.put_down()

    def _context(self, item: Item, attempt: int) -> Context:
        return Context(
            self._rt.spec.name,
            attempt=attempt,
            should_stop=lambda: self._rt.leaving or not item.lease.live,
            progress=lambda fraction, text: self._report.set(progress=round(fraction, 3), progress_text=text or None),
        )

    def _wait_for_dependency(self, pairs: Pairs, error: Exception, times: int) -> None:
        text = f"what the handler needs is away: {say(error)}"
        log.log(logging.WARNING if times == 1 else logging.DEBUG, "%s; waiting for it", text)
        self._report.waiting("dependency", text)
        base, cap = self._settings.start_retry_base, self._settings.start_retry_max
        self._pause(pairs, delay(times + 1, base=base, cap=cap, jitter=0.2, draw=random.random()))

    def _retry_later(self, pairs: Pairs, error: Exception, attempt: int) -> None:
        base, cap = self._settings.retry_base, self._settings.retry_max
        seconds = delay(attempt + 1, base=base, cap=cap, jitter=0.2, draw=random.random())
        text = f"{at(pairs[0][0])} attempt {attempt}: {say(error)}; again in {seconds:.2f} s"
        log.warning("%s", text, exc_info=error)
        self._pause(pairs, seconds)

    def _pause(self, pairs: Pairs, seconds: float) -> None:
        """Sleep, unless the records stop being ours or the process leaves."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._leaving():
            if not any(item.lease.live for item, _ in pairs):
                return
            enter(self._rt, "waiting", pairs[0][0], 10.0)
            self._rt.wait(min(left, 1.0))


def _is_away(error: Exception) -> bool:
    return isinstance(error, ResourceUnavailable) or is_away(error)
