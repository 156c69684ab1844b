"""RUNS IN A CHILD: one run with its attempts, and all that is said of it: ledger, log, status, the parent.

It also keeps what runs decide together: failures in a row, and whether the task is paused by them or by an order.
"""

from __future__ import annotations

import logging
import random
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from supervisor.child.context import TaskContext
from supervisor.child.runtime import Runtime
from supervisor.child.schedule import backfill
from supervisor.child.schedule.attempt import Attempts, Outcome
from supervisor.child.schedule.ending import Ending
from supervisor.child.schedule.evidence import Cost, stacks, users
from supervisor.child.schedule.ledger import Ledger
from supervisor.child.schedule.ledger_file import Row, record, stamp
from supervisor.child.schedule.telling import Telling
from supervisor.core.lifecycle.backoff import delay
from supervisor.core.schedule.limits import limit
from supervisor.core.schedule.missed import Range
from supervisor.core.spec import TaskSettings
from supervisor.core.words import short

log = logging.getLogger(__name__)
SLACK = 30.0
TOLD = 200  # characters of an error in a message: the frame must fit even when each needs an escape
_EVENTS = {"ok": "run_ok", "failed": "run_failed"}


class Runs:
    """All runs of this process. `next_after` bounds retries: they never reach into the next slot."""

    def __init__(
        self, rt: Runtime, ledger: Ledger, attempts: Attempts, next_after: Callable[[float], float | None]
    ) -> None:
        assert isinstance(rt.spec.settings, TaskSettings)
        self._rt, self._settings = rt, rt.spec.settings
        self._ledger, self._attempts, self._next_after = ledger, attempts, next_after
        self.count = 0
        self.failures = 0  # in a row
        self.paused: str | None = None  # why
        self.wanted: deque[Mapping[str, Any]] = deque()  # runs asked for by order
        self.last: Row | None = None
        self.telling = Telling(rt, self._settings, attempts.alarm)
        self._going = False
        self._listen_for_term()

    def run(self, slot: float, kind: str, id: str | None = None) -> None:
        """Run one slot, with retries. A slot that has a record, or whose time to start is over, does not run."""
        if kind == "schedule" and self._ledger.has(slot):
            return
        if self._rt.leaving:
            self._ended(self._ledger.skip(slot, kind, "stopping", id=id))
            return
        lateness = max(0.0, time.time() - slot) if kind == "schedule" else 0.0
        row, outcome = self._tried(slot, kind, id, lateness)
        self.count += 1
        self._judge(outcome, kind)
        self.last = row
        self._rt.facts(last_run=self.brief(row), last_error=_cut(outcome.error), progress=None, progress_text=None)
        self._rt.facts(note=self._ledger.problem)
        self.report(row)
        self.telling.ended(row)

    def report(self, row: Row) -> None:
        """Tell the parent of a run that ended: who waits for it is answered."""
        self._rt.run_ended(self.brief(row) or {})

    def brief(self, row: Row | None) -> dict[str, Any] | None:
        """A record as it fits into a frame."""
        if row is None:
            return None
        made = {key: value for key, value in record(self._rt.spec.group, row).items() if key != "stacks"}
        return made | {key: _cut(made[key]) for key in ("error", "result", "id") if key in made}

    def closed(self, closed: Range) -> None:
        """Say once what did not run; while a task is paused or overlapped, this is no news."""
        count = "a slot" if closed.slots == 1 else f"{closed.slots or 'many'} slots"
        level = logging.DEBUG if closed.reason in ("paused", "disabled") else logging.WARNING
        until = f" to {stamp(closed.last)}" if closed.slots != 1 else ""
        extra = {"event": f"run_{closed.state}", "reason": closed.reason}
        log.log(level, "%s %s (%s): %s%s", closed.state, count, closed.reason, stamp(closed.first), until, extra=extra)
        self.telling.closed(closed)

    def collect(self) -> None:
        """Take the orders that came: pause and resume at once, runs when nothing runs."""
        while order := self._rt.next_order():
            if order.verb == "pause":
                self._pause("by order")
            elif order.verb == "resume":
                self._resume()
            elif order.verb == "run":
                self.wanted.append(order.args)

    def close(self) -> None:
        """Answer who asked for a run that does not come any more; end what is left in the user's loop."""
        self.collect()
        for args in self.wanted:
            slot, kind, id = asked(args)
            if kind == backfill.KIND:  # it stays missed
                self._ended(backfill.refused(slot, "stopping", id))
            else:
                self._ended(self._ledger.skip(slot, kind, "stopping", id=id))
        self._attempts.close()
        self.telling.close()

    def _ended(self, row: Row) -> None:
        log.warning("skipped %s: the process is stopping", stamp(row["slot"]), extra={"event": "run_skipped"})
        self.report(row)

    def _tried(self, slot: float, kind: str, id: str | None, lateness: float) -> tuple[Row, Outcome]:
        attempt = 1
        while True:
            row = self._ledger.begin(slot, kind, attempt=attempt, lateness=lateness, id=id)
            self._rt.facts(note=self._ledger.problem)  # the run may take hours
            if attempt == 1:
                self._began(row)
            cost = Cost()
            outcome = self._attempt(slot, kind, attempt)
            more = cost.taken() | {"stacks": stacks(outcome.cause) if outcome.state == "timed_out" else None}
            ended: dict[str, Any] = {"duration": outcome.duration, "error": outcome.error, "result": outcome.result}
            self._ledger.finish(row, outcome.state, reason=outcome.reason, **ended, **more)
            _log(outcome)
            if outcome.state == "ok" or attempt > self._settings.retries or not self._wait_for_retry(slot, attempt):
                return row, outcome
            attempt += 1

    def _began(self, row: Row) -> None:
        if row["kind"] == "schedule":
            self._rt.ran(row["slot"])  # once it is recorded, if it could be: from here on the function may run
        self.telling.began(row)

    def _attempt(self, slot: float, kind: str, attempt: int) -> Outcome:
        subject, ending = stamp(slot), self._ending()
        self._rt.enter("running", subject, budget=ending.limit.hard)

        def progress(fraction: float, text: str) -> None:
            self._rt.enter("running", subject, budget=ending.budget())
            self._rt.facts(progress=round(fraction, 3), progress_text=text or None)

        ctx = TaskContext(
            self._rt.spec.name,
            slot=slot,
            kind=kind,
            previous=record(self._rt.spec.group, self.last) if self.last else None,
            attempt=attempt,
            should_stop=lambda: self._rt.leaving or ending.asks(),
            progress=progress,
        )
        self._going = True
        try:
            values = {**self._settings.args, "ctx": ctx}
            return ending.judged(self._attempts.run(values, ending.limit.soft, ending.error))
        finally:
            self._going = False

    def _ending(self) -> Ending:
        now = time.time()
        upcoming = self._next_after(now)
        until = None if upcoming is None else upcoming - now
        return Ending(limit(self._settings, until, coroutine=self._attempts.is_async), self._ledger)

    def _wait_for_retry(self, slot: float, attempt: int) -> bool:
        wait = delay(
            attempt + 1,
            base=self._settings.retry_base,
            cap=self._settings.retry_max,
            jitter=self._rt.spec.policy.backoff_jitter,
            draw=random.random(),
        )
        upcoming = self._next_after(slot)
        if self._rt.leaving or (upcoming is not None and time.time() + wait >= upcoming):
            return False
        log.warning("retry %d of %d in %s", attempt, self._settings.retries, short(wait), extra={"event": "retry"})
        self._rt.enter("retrying", stamp(slot), budget=wait + SLACK)
        end = time.monotonic() + wait
        while (left := end - time.monotonic()) > 0 and not self._rt.leaving:
            self._rt.wait(left)
            self.collect()
        return not self._rt.leaving

    def _judge(self, outcome: Outcome, kind: str) -> None:
        if kind == backfill.KIND:
            return  # what is long past says nothing of now
        if outcome.state == "ok":
            self.failures = 0
            if kind == "manual" and self.paused:
                self._resume()
            return
        if outcome.reason:
            return  # cut short by the next slot: that is no failure of its own
        self.failures += 1
        if self._settings.pause_after_failures and self.failures >= self._settings.pause_after_failures:
            self._pause(f"after {self.failures} failures in a row")

    def _pause(self, why: str) -> None:
        if self.paused is None:
            name = self._rt.spec.group
            text = f"paused {why}; a run that succeeds (supervisor run {name}) or a restart resumes it"
            self._rt.notice("warning", "task_paused", text)
            log.warning("%s", text, extra={"event": "paused"})
        self.paused = why
        self._rt.facts(paused=why)

    def _resume(self) -> None:
        if self.paused is not None:
            log.info("resumed", extra={"event": "resumed"})
        self.paused, self.failures = None, 0
        self._rt.facts(paused=None)

    def _listen_for_term(self) -> None:
        """SIGTERM marks the run at once: whether it may still finish, the grace period decides."""
        before = signal.getsignal(signal.SIGTERM)

        def term(number: int, frame: FrameType | None) -> None:
            if callable(before):
                before(number, frame)
            if self._going:
                self._ledger.interrupt()

        signal.signal(signal.SIGTERM, term)


def asked(args: Mapping[str, Any]) -> tuple[float, str, Any]:
    """Return slot, kind and id of a run that an order asks for."""
    return float(args.get("slot") or round(time.time(), 3)), str(args.get("kind", "manual")), args.get("id")


def _log(outcome: Outcome) -> None:
    event = {"event": _EVENTS.get(outcome.state, outcome.state)}
    if outcome.state == "ok":
        log.info("run ok in %s", short(outcome.duration), extra=event)
    else:
        said = outcome.state.replace("_", " ")
        log.error("run %s: %s", said, outcome.error, exc_info=_shown(outcome.cause), extra=event)


def _shown(error: BaseException | None) -> BaseException | None:
    """Without our own frames before the user's first one."""
    tb = users(error) if error else None
    return error.with_traceback(tb) if error and tb else error


def _cut(text: Any) -> str | None:
    return None if text is None else str(text)[:TOLD]
