"""RUNS IN A CHILD: one run with its attempts, and all that is said of it: ledger, log, status, the parent."""

from __future__ import annotations

import logging
import random
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from supervisor.child.context import TaskContext
from supervisor.child.runtime import Runtime
from supervisor.child.schedule import backfill
from supervisor.child.schedule.attempt import Attempts, Outcome
from supervisor.child.schedule.ending import Ending
from supervisor.child.schedule.evidence import Cost, stacks, users
from supervisor.child.schedule.lead import Lead, reached
from supervisor.child.schedule.ledger import Ledger
from supervisor.child.schedule.ledger_file import Row, record, stamp
from supervisor.child.schedule.pausing import Pausing
from supervisor.child.schedule.telling import Telling
from supervisor.core.lifecycle.backoff import delay
from supervisor.core.schedule.limits import BY_HAND, limit
from supervisor.core.schedule.missed import Range
from supervisor.core.schedule.unwritten import PREPARING
from supervisor.core.spec import TaskSettings
from supervisor.core.wire.page import RUNNING
from supervisor.core.words import short

log = logging.getLogger(__name__)
SLACK = 30.0
TOLD = 200  # characters of an error in a message: the frame must fit even when each needs an escape
_EVENTS = {"ok": "run_ok", "failed": "run_failed"}


@dataclass(slots=True)
class _Attempt:
    """All that a call of the function needs, made before it is due."""

    row: Row
    ending: Ending
    ctx: TaskContext
    cost: Cost


class Runs:
    """All runs of this process. `next_after` bounds retries: they never reach into the next slot."""

    def __init__(
        self, rt: Runtime, ledger: Ledger, attempts: Attempts, next_after: Callable[[float], float | None]
    ) -> None:
        assert isinstance(rt.spec.settings, TaskSettings)
        self._rt, self._settings = rt, rt.spec.settings
        self._ledger, self._attempts, self._next_after = ledger, attempts, next_after
        self.count = 0
        self._pausing = Pausing(rt, rt.spec.settings)
        self.wanted: deque[Mapping[str, Any]] = deque()  # runs asked for by order
        self.last: Row | None = None
        self.telling = Telling(rt, self._settings, attempts.alarm)
        self.lead = Lead()
        self._going = False
        self._owed: float | None = None  # a slot that was prepared and did not start
        self._listen_for_term()

    @property
    def paused(self) -> bool:
        return self._pausing.why is not None

    def run(self, slot: float, kind: str, id: str | None = None, *, at: float | None = None) -> bool:
        """Run one slot, with retries. A slot that has a record, or whose time to start is over, does not run.

        `at`: its start is still to come, and is waited for here. False: it did not start, and has no record yet.
        """
        owed, self._owed = self._owed, None
        if kind == "schedule" and slot != owed and self._ledger.has(slot):
            return True
        if self._rt.leaving and at is None:
            self._ended(self._ledger.skip(slot, kind, "stopping", id=id))
            return True
        first = self._prepare(slot, kind, id, at)
        if at is not None and not self._in_time(first, at):
            return False
        row, outcome = self._tried(first)
        self.count += 1
        self._pausing.judge(outcome, kind)
        self.last = row
        self._rt.facts(last_run=self.brief(row), last_error=_cut(outcome.error), progress=None, progress_text=None)
        self._rt.facts(note=self._ledger.problem)
        self.report(row)
        self.telling.ended(row)
        return True

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
                self._pausing.pause("by order")
            elif order.verb == "resume":
                self._pausing.resume()
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

    def _in_time(self, first: _Attempt, at: float) -> bool:
        """Wait for its start. What ends the wait leaves nothing behind: the slot is to come, for who is there then."""
        self.lead.learn(self.lead.seconds - (at - time.time()))
        if reached(self._rt, at, self._given_up):
            return True
        self._going, self._owed = False, first.row["slot"]
        self._ledger.retract(first.row)
        return False

    def _given_up(self) -> bool:
        self.collect()  # runs that are asked for now come after this one
        return self._rt.leaving or self.paused

    def _tried(self, attempt: _Attempt) -> tuple[Row, Outcome]:
        while True:
            row, outcome = attempt.row, self._call(attempt)
            more = attempt.cost.taken() | {"stacks": stacks(outcome.cause) if outcome.state == "timed_out" else None}
            ended: dict[str, Any] = {"duration": outcome.duration, "error": outcome.error, "result": outcome.result}
            self._ledger.finish(row, outcome.state, reason=outcome.reason, **ended, **more)
            _log(outcome)
            slot, number = row["slot"], row["attempt"]
            if outcome.state == "ok" or number > self._settings.retries or not self._wait_for_retry(slot, number):
                return row, outcome
            attempt = self._prepare(slot, row["kind"], row["id"], before=row)

    def _prepare(
        self, slot: float, kind: str, id: str | None, at: float | None = None, *, before: Row | None = None
    ) -> _Attempt:
        """Do all that comes before the call of the function. Nothing of the user's runs here."""
        start = time.time() if at is None else at
        number, late = (before["attempt"] + 1, before["lateness"]) if before else (1, _lateness(kind, slot, start))
        if at is not None:
            self._rt.enter(PREPARING, stamp(slot), budget=SLACK)
        row = self._ledger.begin(slot, kind, attempt=number, lateness=late, id=id, at=start)
        self._going = True  # a SIGTERM from here on is told to the record
        self._rt.facts(note=self._ledger.problem)  # the run may take hours
        ending = self._ending(start, kind)
        return _Attempt(row, ending, self._context(row, ending), Cost())

    def _context(self, row: Row, ending: Ending) -> TaskContext:
        subject = stamp(row["slot"])

        def progress(fraction: float, text: str) -> None:
            self._rt.enter(RUNNING, subject, budget=ending.budget())
            self._rt.facts(progress=round(fraction, 3), progress_text=text or None)

        return TaskContext(
            self._rt.spec.name,
            slot=row["slot"],
            kind=row["kind"],
            previous=record(self._rt.spec.group, self.last) if self.last else None,
            attempt=row["attempt"],
            should_stop=lambda: self._rt.leaving or ending.asks(),
            progress=progress,
        )

    def _call(self, attempt: _Attempt) -> Outcome:
        row, ending = attempt.row, attempt.ending
        if row["attempt"] == 1:
            self._began(row)
        ending.begin()
        self._rt.enter(RUNNING, stamp(row["slot"]), budget=ending.limit.hard)
        try:
            values = {**self._settings.args, "ctx": attempt.ctx}
            return ending.judged(self._attempts.run(values, ending.limit.soft, ending.error))
        finally:
            self._going = False

    def _began(self, row: Row) -> None:
        now = time.time()
        self._ledger.began(row, now, _lateness(row["kind"], row["slot"], now))
        if row["kind"] == "schedule":
            self._rt.ran(row["slot"])  # once it is recorded, if it could be: from here on the function may run
        self.telling.began(row)

    def _ending(self, start: float, kind: str) -> Ending:
        upcoming = None if kind in BY_HAND else self._next_after(start)  # what people ask for is cut by no slot
        until = None if upcoming is None else upcoming - start
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


def _lateness(kind: str, slot: float, start: float) -> float:
    return round(max(0.0, start - slot), 4) if kind == "schedule" else 0.0


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
