"""PURE: a task's runs on a clock that is only a number: the loop of its runner, with the same decisions and no waiting.

What is decided is decided by the functions that the runner itself calls; this is the hand that moves the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from supervisor.core.lifecycle.backoff import delay
from supervisor.core.schedule.limits import limit
from supervisor.core.schedule.missed import Decision, Range, closed, due, overrun
from supervisor.core.schedule.slots import Trigger
from supervisor.core.spec import TaskSettings
from supervisor.core.words import short

Row = dict[str, Any]  # of a ledger, times in epoch seconds
_TICK = 0.0005  # half the resolution of slots


@dataclass(frozen=True, slots=True)
class Result:
    """What the function would do in one attempt: return after `duration`, or raise `error` then."""

    duration: float = 0.0
    error: str | None = None


@dataclass(slots=True)
class Simulated:
    """One task from `now` on. `act` tells what an attempt at a slot does; `draw` is a number in [0, 1)."""

    settings: TaskSettings
    trigger: Trigger
    now: float
    act: Callable[[float], Result]
    draw: Callable[[], float]
    backoff_jitter: float = 0.0
    rows: list[Row] = field(default_factory=list)
    settled: float = 0.0
    end: float = 0.0
    failures: int = 0
    paused: bool = False

    def run(self, end: float) -> list[Row]:
        """Return what the ledger would say of the slots in [now, end)."""
        self.settled, self.end = self.now - _TICK, end - _TICK
        if self.settings.run_on_start:
            self._tried(self.now, "start")
            self._overrun()
        while (begin := self._next()) is not None and begin < end:
            self.now = begin
            self._take(self._due())
        return self.rows

    def _next(self) -> float | None:
        slot = self.trigger.next_after(self.settled)
        return None if slot is None else max(self.now, slot + self.settings.jitter * self.draw())

    def _due(self) -> Decision:
        after, self.settled = self.settled, self.now
        if self.paused:
            return Decision(closed=tuple(closed(self.trigger, after, self.now, "skipped", "paused")))
        return due(self.trigger, after, self.now, self.settings, "late")

    def _take(self, decision: Decision) -> None:
        items: list[Range | float] = [*decision.closed, *decision.run]
        for each in sorted(items, key=_first):
            if isinstance(each, Range):
                self._close(each)
            else:
                self._tried(each, "schedule")
        self._overrun()

    def _overrun(self) -> None:
        """Settle the slots that fell due meanwhile; those after the end are nobody's: runs may follow runs for ever."""
        while (now := min(self.now, self.end)) > self.settled:
            overlap = "skip" if self.paused else self.settings.overlap
            decision = overrun(self.trigger, self.settled, now, overlap)
            self.settled = now
            for each in decision.closed:
                self._close(each)
            for slot in decision.run:
                self._tried(slot, "schedule")

    def _tried(self, slot: float, kind: str) -> None:
        """One run with its attempts, which are one row."""
        lateness = max(0.0, self.now - slot) if kind == "schedule" else 0.0
        row: Row = {"slot": slot, "kind": kind, "lateness": round(lateness, 4), "attempt": 0}
        self.rows.append(row)
        while True:
            row |= {"attempt": row["attempt"] + 1, "started": self.now} | self._attempt(slot)
            self.now += row["duration"]
            row["finished"] = self.now
            if row["state"] == "ok" or row["attempt"] > self.settings.retries or not self._wait(slot, row["attempt"]):
                break
        self._judge(row)

    def _attempt(self, slot: float) -> Row:
        result = self.act(slot)
        upcoming = self._upcoming(self.now)
        until = None if upcoming is None else upcoming - self.now
        bound = limit(self.settings, until, coroutine=False)
        if bound.soft is not None and result.duration > bound.soft:
            if bound.why == "overlap":
                said: Row = {"state": "interrupted", "reason": "overlap", "error": "overlap: ended for the next slot"}
            else:
                text = f"timeout: not done within its timeout of {short(bound.soft)}"
                said = {"state": "timed_out", "error": text, "reason": None}
            return {"duration": bound.soft} | said
        state = "ok" if result.error is None else "failed"
        return {"duration": result.duration, "state": state, "error": result.error, "reason": None}

    def _wait(self, slot: float, attempt: int) -> bool:
        base, cap = self.settings.retry_base, self.settings.retry_max
        wait = delay(attempt + 1, base=base, cap=cap, jitter=self.backoff_jitter, draw=self.draw())
        upcoming = self._upcoming(slot)
        if upcoming is not None and self.now + wait >= upcoming:
            return False
        self.now += wait
        return True

    def _upcoming(self, t: float) -> float | None:
        return self.trigger.next_after(max(t, self.settled))

    def _judge(self, row: Row) -> None:
        if row["state"] == "ok":
            self.failures = 0
        elif not row["reason"]:
            self.failures += 1
            limit = self.settings.pause_after_failures
            self.paused = self.paused or bool(limit and self.failures >= limit)

    def _close(self, each: Range) -> None:
        """As the ledger: slots next to each other that did not run, for the same reason, are one row."""
        last = self.rows[-1] if self.rows else {}
        same = "last" in last and (last["state"], last["reason"]) == (each.state, each.reason)
        if same and self.trigger.next_after(last["last"]) == each.first:
            known = None if last["slots"] is None or each.slots is None else last["slots"] + each.slots
            last |= {"last": each.last, "slots": known, "finished": self.now}
        else:
            self.rows.append(closed_row(each, self.now))


def closed_row(each: Range, now: float) -> Row:
    """Return the row of slots that did not run."""
    fields = asdict(each)
    return {"slot": fields.pop("first"), "kind": "schedule", "finished": now} | fields


def switched_off(trigger: Trigger, now: float, end: float) -> Iterator[Row]:
    """Yield the row of a task that is disabled all the time."""
    for each in closed(trigger, now - _TICK, end - _TICK, "skipped", "disabled"):
        yield closed_row(each, end)


def _first(each: Range | float) -> float:
    return each.first if isinstance(each, Range) else each
