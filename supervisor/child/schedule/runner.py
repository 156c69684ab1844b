"""RUNS IN A CHILD: one task on its schedule, from the ledger's last word to the next slot, again and again.

`settled` is the instant up to which every slot has its record. It only moves forward, save when the clock is set
back; a slot that has a record never starts again.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from supervisor.child.loader import LoadError
from supervisor.child.runtime import Runtime
from supervisor.child.schedule import backfill, clock, evidence, off
from supervisor.child.schedule.attempt import loaded
from supervisor.child.schedule.ledger import Ledger
from supervisor.child.schedule.ledger_file import Row, warm_up
from supervisor.child.schedule.run import Runs, asked
from supervisor.child.schedule.set_back import SetBack
from supervisor.core.errors import Exit
from supervisor.core.schedule.limits import overtaken
from supervisor.core.schedule.missed import Decision, Range, Span, due, lost, overrun, unclosed
from supervisor.core.schedule.missed import closed as all_closed
from supervisor.core.schedule.slots import Trigger, to_text
from supervisor.core.spec import TaskSettings
from supervisor.core.wire.messages import Bye, Facts
from supervisor.core.words import short

LONGEST_WAIT = 30.0  # seconds: bounds what a clock that is set while we sleep can do
SLACK = 30.0  # a sleep that lasts so much longer is stuck
STEP = 1.0  # seconds between wall clock and monotonic clock that are no step of either

warm_up()  # at import, which is before the fork: what SQLite sets up once is then shared, half a MiB per child


def run(rt: Runtime) -> int:
    """Run the task until the process is to leave. Raises LoadError before it is ready."""
    return Runner(rt).run()


class Runner:
    def __init__(self, rt: Runtime) -> None:
        assert isinstance(rt.spec.settings, TaskSettings)
        self.rt, self.settings = rt, rt.spec.settings
        self.ran = rt.birth.previous.ran if rt.birth.previous else None  # the last slot that was started before
        self.settled = time.time()
        self.recorded = self.settled  # the last slot that got a record: ranges go on from there
        self.ledger = Ledger(rt.paths.ledger(rt.spec.group), lambda code, text: rt.notice("error", code, text))
        left = evidence.left(rt.paths.crashes, rt.spec.group, rt.birth.previous)
        self.closed_rows = self.ledger.close_open(rt.birth.previous, left, self._overtaken)
        self.scheduler = clock.Scheduler(self._ahead, lambda: self.settled, self._jitter)
        self.trigger = _build(self.scheduler, self.settings, self._due)
        self.set_back = SetBack(self.ledger, self.trigger)
        self._sign()
        self.runs = Runs(rt, self.ledger, loaded(rt, self.settings, self._woken), self._next_after)
        self.skew = time.time() - time.monotonic()
        self.stepped = False
        for row in self.closed_rows:
            self.runs.report(row)
            self.runs.telling.ended(row)

    def run(self) -> int:
        if self.rt.birth.extra.get("manual"):
            return self._only_by_hand()
        missed = self._begin()
        self.rt.ready()
        self._take(missed)
        if self.settings.run_on_start and not self.rt.leaving:
            self._beside({"kind": "start"})
        while not self.rt.leaving and not self._spent():
            self.scheduler.run_pending()
            self._obey()
            self._rest()
        return self._end()

    def _only_by_hand(self) -> int:
        """The task is disabled: what is ordered runs. Its slots are left for the next process, which knows why."""
        self.rt.facts(schedule=self.trigger.describe(), next_slot=None)
        self.rt.ready()
        while not self.rt.leaving:
            self.runs.collect()
            if self.runs.wanted:
                self._ordered(self.runs.wanted.popleft())
                continue
            self.rt.enter("idle", budget=LONGEST_WAIT + SLACK)
            self.rt.wait(LONGEST_WAIT)
        return self._end()

    def _sign(self) -> None:
        """Say who writes, and from when on which slots are owed: before the code is loaded, which may fail."""
        now, last, text = time.time(), self.ledger.settled(), self.trigger.describe()
        self.ledger.set_meta("pid", os.getpid())
        self.ledger.set_meta("schedule", to_text(self.settings))
        if last is None or self.ledger.meta("trigger") != text:  # slots of another schedule are not owed
            self.ledger.set_meta("since", now)
            self.ledger.set_meta("trigger", text)
            self.set_back.forget()

    def _begin(self) -> Decision:
        """Take up the ledger's last word; decide what was missed while no process was there."""
        self.ledger.prune(keep=self.settings.history_keep, most=self.settings.history_max)
        now, text = time.time(), self.trigger.describe()
        last = self.ledger.settled() or now
        self.runs.last = self.ledger.last()
        self.rt.facts(schedule=text, last_run=self.runs.brief(self.runs.last))
        self.rt.post(Facts({"paused": None}))  # what the process before said
        self.settled = self.recorded = self.set_back.begin(last)
        self._lose()
        if last > now + STEP:
            self._set_back(now, last - now)
        if self.settled >= now:
            return Decision()
        made_room = any(row["state"] == "killed" and row["reason"] == "overlap" for row in self.closed_rows)
        decision = due(
            self.trigger, self.settled, now, self.settings, "late" if made_room else "down", self._disabled()
        )
        self.settled = now
        return decision

    def _lose(self) -> None:
        """Slots that a process before started and could not record: in its last moment too a slot starts once."""
        if self.ran is not None and self.ran > self.settled and not self.ledger.has(self.ran):
            for each in lost(self.trigger, self.settled, self.ran, self._disabled()):
                self._close(each)
            self.settled = self.ran

    def _take(self, decision: Decision, coming: tuple[float, float] | None = None) -> bool:
        """Write and run what was decided, in the order of the slots, so that the ledger never runs ahead.

        `coming`: a slot, and when it starts. False: by then it was not to start any more.
        """
        items: list[Range | float] = [*decision.closed, *decision.run]
        for each in sorted(items, key=_first):
            if isinstance(each, Range):
                self._close(each)
            elif not self._run(each, coming[1] if coming and coming[0] == each else None):
                return False
        self._overrun()
        self.scheduler.reschedule()
        return True

    def _due(self) -> None:
        """Called by the schedule: a slot is to start in a moment, or some lie in (settled, now] already."""
        coming = self.scheduler.soonest
        before, until = self.settled, max(time.time(), coming[0] if coming else 0.0)
        if self.runs.paused:
            decision = Decision(closed=tuple(all_closed(self.trigger, before, until, "skipped", "paused")))
        else:
            decision = due(self.trigger, before, until, self.settings, "clock" if self.stepped else "late")
        self.settled, self.stepped = until, False
        if not self._take(decision, coming):
            self.settled = before  # as if nobody had woken yet

    def _overrun(self) -> None:
        """Settle the slots that fell due while something ran; one of them may run now, and overrun again, and so on.

        What is ordered has its turn in between. The slots after the last run of this process are the next one's.
        """
        jumped = self._look_at_the_clock()
        while not self._spent() and (now := time.time() - jumped) > self.settled:
            decision = overrun(self.trigger, self.settled, now, "skip" if self.runs.paused else self.settings.overlap)
            self.settled = now
            for each in decision.closed:
                self._close(each)
            for slot in decision.run:
                self._run(slot)
            if not decision.run:
                return
            self.runs.collect()
            if self.runs.wanted and not self.rt.leaving:
                self._ordered(self.runs.wanted.popleft())
            jumped += self._look_at_the_clock()

    def _run(self, slot: float, start: float | None = None) -> bool:
        """`start`: not before that."""
        self._look_at_the_ledger()
        ran = self.runs.run(slot, "schedule", at=start if start is not None and start > time.time() else None)
        self.recorded = slot if ran else self.recorded
        return ran

    def _close(self, closed: Range) -> None:
        for each in self.set_back.free(closed):
            adjacent = self.trigger.next_after(self.recorded) == each.first
            self.ledger.close(each, self.recorded if adjacent else None)
            self.recorded = each.last
            self.runs.closed(each)

    def _obey(self) -> None:
        self.runs.collect()
        while self.runs.wanted and not self.rt.leaving:
            self._beside(self.runs.wanted.popleft())
            self.runs.collect()

    def _beside(self, args: Mapping[str, Any]) -> None:
        """A run beside the schedule; slots that fall due meanwhile are overlapped by it as by any other."""
        self._ordered(args)
        self._overrun()
        self.scheduler.reschedule()

    def _ordered(self, args: Mapping[str, Any]) -> None:
        self._look_at_the_ledger()
        slot, kind, id = asked(args)
        why = backfill.claim(self.ledger, self.trigger, slot, id) if kind == backfill.KIND else None
        if why is None:
            self.runs.run(slot, kind, id)
        else:
            self.runs.report(backfill.refused(slot, why, id))

    def _look_at_the_ledger(self) -> None:
        """A file that could not be had until now: what no process recorded is closed as a new process would."""
        if gap := self.ledger.look():
            self.ledger.close_open(self.rt.birth.previous, overtaken=self._overtaken)
            for each in unclosed(self.trigger, *gap, self._disabled(), self.ran):
                self.ledger.close(each)

    def _look_at_the_clock(self) -> float:
        """Return by how much the clock was set forward since the last look: what it jumped over no run overlapped."""
        step = time.time() - time.monotonic() - self.skew
        self.skew += step
        if step < -STEP:
            self._set_back(time.time(), -step)
        elif step > STEP:
            self.stepped = True
        return step if step > STEP else 0.0

    def _set_back(self, now: float, by: float) -> None:
        """What the ledger says of times to come is void, save what has run: that must not run again."""
        self.set_back.happened(self.settled, now)
        self.settled = self.recorded = min(self.settled, now)
        self.scheduler.reschedule()
        text = f"the clock was set back by {short(by)}; slots that have run already do not run again"
        self.rt.notice("warning", "clock", text)

    def _rest(self) -> None:
        """Sleep until the next slot, an order, or the end; look whether the clock was set, before and after."""
        self._look_at_the_clock()
        self.set_back.passed(self.settled)
        idle = self.scheduler.idle_seconds
        upcoming = self.set_back.upcoming(self.scheduler.next_slot)
        waiting = self.set_back.waiting() if upcoming != self.scheduler.next_slot else None
        self._look_at_the_ledger()
        self.rt.facts(next_slot=upcoming, waiting=waiting, note=self.ledger.problem)
        wait = LONGEST_WAIT if idle is None else min(idle, LONGEST_WAIT)
        if wait > 0 and not self.rt.leaving and not self._spent():
            self.rt.enter("idle", budget=wait + SLACK)
            self.rt.wait(wait)
            self._look_at_the_clock()

    def _spent(self) -> bool:
        return self.settings.max_runs is not None and self.runs.count >= self.settings.max_runs

    def _end(self) -> int:
        self.rt.enter("leaving", budget=self.rt.spec.policy.grace_period + SLACK)
        self.runs.close()
        self.ledger.shut()
        if self._spent() and not self.rt.leaving:
            self.rt.post(Bye(Exit.OK, f"recycle: max_runs ({self.settings.max_runs}) reached"))
        return Exit.OK

    def _woken(self) -> None:
        """While a coroutine runs: orders are looked at, runs that are asked for wait for the end of this one."""
        self.rt.acknowledge()
        self.runs.collect()

    def _next_after(self, t: float) -> float | None:
        return self.trigger.next_after(max(t, self.settled))

    def _ahead(self) -> float:
        """The clock by which a slot is due: early enough for what comes before the call."""
        return time.time() + self.runs.lead.seconds

    def _jitter(self) -> float:
        return random.random() * self.settings.jitter

    def _overtaken(self, row: Row) -> bool:
        last = self.rt.birth.previous
        return last is not None and overtaken(self.settings, row, last.cause, last.at)

    def _disabled(self) -> list[Span]:
        return off.spans(self.rt.paths.journal, self.rt.spec.group)


def _first(each: Range | float) -> float:
    return each.first if isinstance(each, Range) else each


def _build(scheduler: clock.Scheduler, settings: TaskSettings, function: Callable[[], None]) -> Trigger:
    try:
        clock.build(scheduler, settings, function)
    except ValueError as e:
        raise LoadError(str(e), permanent=True) from e
    return scheduler.trigger
