"""RUNS IN A CHILD: whether a task is paused, by failures in a row or by an order, and what resumes it."""

from __future__ import annotations

import logging

from supervisor.child.runtime import Runtime
from supervisor.child.schedule import backfill
from supervisor.child.schedule.attempt import Outcome
from supervisor.core.spec import TaskSettings

log = logging.getLogger(__name__)


class Pausing:
    """One for the process's life: the next process begins unpaused."""

    def __init__(self, rt: Runtime, settings: TaskSettings) -> None:
        self._rt, self._most = rt, settings.pause_after_failures
        self.why: str | None = None  # None: it is not paused
        self.failures = 0  # in a row

    def judge(self, outcome: Outcome, kind: str) -> None:
        if kind == backfill.KIND:
            return  # what is long past says nothing of now
        if outcome.state == "ok":
            self.failures = 0
            if kind == "manual" and self.why:
                self.resume()
            return
        if outcome.reason:
            return  # cut short by the next slot: that is no failure of its own
        self.failures += 1
        if self._most and self.failures >= self._most:
            self.pause(f"after {self.failures} failures in a row")

    def pause(self, why: str) -> None:
        if self.why is None:
            name = self._rt.spec.group
            text = f"paused {why}; a run that succeeds (supervisor run {name}) or a restart resumes it"
            self._rt.notice("warning", "task_paused", text)
            log.warning("%s", text, extra={"event": "paused"})
        self.why = why
        self._rt.facts(paused=why)

    def resume(self) -> None:
        if self.why is not None:
            log.info("resumed", extra={"event": "resumed"})
        self.why, self.failures = None, 0
        self._rt.facts(paused=None)
