"""RUNS IN A CHILD: the `schedule` library as a builder, with its clock replaced.

Its own clock counts from the end of a run (a 3 s run every 30 s loses a tenth of its slots), leaves a raising job
due for ever so that all others starve, and reckons in naive local time, wrong around a change of the clock.
Here a job is due at slots (core.schedule), whatever runs and for how long. The builder, `.at()` and its checks,
tags, `cancel_job` and the lists are the library's own. One Scheduler is made after the fork, never the module's.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import schedule
from schedule import CancelJob as CancelJob
from schedule import IntervalError as IntervalError
from schedule import ScheduleError as ScheduleError
from schedule import ScheduleValueError as ScheduleValueError

from supervisor.core.schedule import slots, wall
from supervisor.core.spec import TaskSettings

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Scheduler(schedule.Scheduler):
    """Builds jobs, and is itself a trigger: it is due when one of its jobs is.

    `now` is the wall clock. `settled` says up to when all slots are dealt with: the next one comes after that.
    `delay` draws how long after its slot a job starts (jitter); the slot itself stays.
    """

    jobs: list[Job]  # type: ignore[assignment]  # every() makes ours only

    def __init__(
        self,
        now: Callable[[], float],
        settled: Callable[[], float] | None = None,
        delay: Callable[[], float] = lambda: 0.0,
    ) -> None:
        super().__init__()
        self.now = now
        self.settled = settled or now
        self.delay = delay

    def every(self, interval: float = 1) -> Job:
        return Job(interval, self)

    def at_trigger(self, trigger: slots.Trigger) -> Job:
        """A job that the builder has no words for: cron, once, a grid moved, a window."""
        job = Job(1, self)
        job.trigger = trigger
        return job

    @property
    def trigger(self) -> slots.Trigger:
        found = tuple(job.trigger for job in self.jobs if job.trigger is not None)
        return found[0] if len(found) == 1 else slots.AnyOf(found)

    def run_pending(self) -> None:
        """Run the due jobs in the order of their slots. An error of one comes out after it has its next slot."""
        for job in sorted(job for job in self.jobs if job.should_run):
            if job.should_run:  # the run before may have settled this slot too
                self._run_job(job)

    def reschedule(self) -> None:
        """Give every job its next slot: after a run, an order, or a clock that was set."""
        for job in self.jobs:
            job._schedule_next_run()

    @property
    def idle_seconds(self) -> float | None:
        """Seconds until a job is due, never negative; None when none will ever be."""
        soonest = self.soonest
        return None if soonest is None else max(0.0, soonest[1] - self.now())

    @property
    def soonest(self) -> tuple[float, float] | None:
        """Slot and start of the job that is due first; None when none will ever be."""
        coming = ((job.due, job.slot) for job in self.jobs if job.due is not None and job.slot is not None)
        found = min(coming, default=None)
        return None if found is None else (found[1], found[0])

    @property
    def next_slot(self) -> float | None:
        return min((job.slot for job in self.jobs if job.slot is not None), default=None)


class Job(schedule.Job):
    """One line of a schedule: `slot` is what it runs for, `due` when it starts (later by the jitter)."""

    scheduler: Scheduler

    def __init__(self, interval: float, scheduler: Scheduler) -> None:
        super().__init__(interval, scheduler)  # type: ignore[arg-type]  # 0.5 s is an interval too
        self.trigger: slots.Trigger | None = None
        self.slot: float | None = None
        self.due: float | None = None

    def at(self, time_str: str, tz: str | None = None) -> Job:
        """As the library's, with zoneinfo: `tz` is a name of the IANA list."""
        super().at(time_str)
        self.at_time_zone = wall.zone(tz) if tz else None  # type: ignore[assignment]
        return self

    def _schedule_next_run(self) -> None:
        if self.trigger is None:
            self.trigger = compiled(self)
        slot = self.trigger.next_after(self.scheduler.settled())
        if slot == self.slot and slot is not None:
            return  # its jitter is drawn once
        self.slot = slot
        self.due = None if slot is None else slot + self.scheduler.delay()
        # for repr and get_next_run, which show local time; never computed with
        self.next_run = None if slot is None else datetime.fromtimestamp(slot)  # noqa: DTZ006

    @property
    def should_run(self) -> bool:
        return self.due is not None and self.due <= self.scheduler.now()

    def __lt__(self, other: Job) -> bool:
        return (self.slot or 0.0) < (other.slot or 0.0)

    def run(self) -> Any:
        assert self.job_func is not None
        try:
            return self.job_func()
        finally:
            self.last_run = datetime.fromtimestamp(self.scheduler.now())  # noqa: DTZ006
            self._schedule_next_run()


def build(scheduler: Scheduler, settings: TaskSettings, function: Callable[[], object]) -> None:
    """Put the jobs of a task into `scheduler`. Raises ValueError as core.schedule.slots.trigger does."""
    trigger = slots.trigger(settings)  # all checks, with texts that name the key
    if trigger == slots.Every(settings.every or 0.0):
        scheduler.every(settings.every or 0.0).seconds.do(function)
    elif settings.at and not isinstance(trigger, slots.Window):
        for text in settings.at:
            for day in settings.on or ("day",):
                every = scheduler.every()
                named = every.day if day == "day" else getattr(every, _WEEKDAYS[wall.weekday(day)])
                named.at(text, settings.timezone).do(function)
    else:
        scheduler.at_trigger(trigger).do(function)


def compiled(job: Job) -> slots.Trigger:
    """Return when a job of the builder is due: what the words mean, on the grid of slots."""
    if job.unit not in ("seconds", "minutes", "hours", "days", "weeks"):
        raise schedule.ScheduleValueError("say in what: every(30).seconds, every().day, every().monday")
    if job.latest is not None:
        raise schedule.ScheduleError("every(a).to(b) has no fixed slots; use jitter")
    if job.at_time is None and job.start_day is None:
        return slots.Every(timedelta(**{job.unit: job.interval}).total_seconds())
    if job.unit not in ("days", "weeks") or job.interval != 1:
        raise schedule.ScheduleValueError("a time of day goes with every().day or one weekday; for others use cron")
    if job.at_time_zone is None:
        raise schedule.ScheduleValueError('name the zone: .at("06:30", "Europe/Berlin")')
    days = frozenset() if job.start_day is None else frozenset((_WEEKDAYS.index(job.start_day),))
    return slots.Daily((job.at_time,), days, job.at_time_zone)
