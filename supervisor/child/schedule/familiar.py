"""RUNS IN A CHILD, and wherever a project builds its own: the `schedule` library as people know it, on slots.

`.at("06:30")` without a zone is of the host's, as there; `every().hour.at(":30")` and `.until()` have their meaning.
What has no fixed slots is refused in words: `.to()`, and `.at()` with an interval of several days or hours.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC
from typing import Any

import schedule

from supervisor.child.schedule import clock
from supervisor.core.schedule import slots, wall

_LOCALTIME = "/etc/localtime"


class Scheduler(clock.Scheduler):
    """As schedule.Scheduler. `now` is the wall clock, for tests."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        super().__init__(now)

    def every(self, interval: float = 1) -> Job:
        return Job(interval, self)


class Job(clock.Job):
    def at(self, time_str: str, tz: str | None = None) -> Job:
        if tz is None and self.unit != "minutes":
            tz = local_zone()
        super().at(time_str, tz)
        return self

    def run(self) -> Any:
        result = super().run()
        return schedule.CancelJob if self.slot is None else result

    def _schedule_next_run(self) -> None:
        if self.trigger is None:
            found = _compiled(self)
            last = None if self.cancel_after is None else self.cancel_after.astimezone(UTC).timestamp()
            self.trigger = found if last is None else slots.Window(found, None, last)
        super()._schedule_next_run()


def local_zone() -> str:
    """Return the IANA name of the host's zone. Raises ScheduleValueError when it has none that can be found."""
    name = os.environ.get("TZ", "").lstrip(":")
    if not name:
        name = os.path.realpath(_LOCALTIME).partition("/zoneinfo/")[2] or "UTC"
    try:
        return wall.zone(name).key
    except ValueError:
        raise schedule.ScheduleValueError('name the zone: .at("06:30", "Europe/Berlin")') from None


def _compiled(job: Job) -> slots.Trigger:
    if job.unit not in ("minutes", "hours") or job.at_time is None:
        return clock.compiled(job)
    if job.unit == "minutes":
        return slots.Every(job.interval * 60.0, float(job.at_time.second))
    if job.interval != 1 or job.at_time_zone is None:
        raise schedule.ScheduleValueError('.at(":30") goes with every().hour; for several hours use cron')
    from supervisor.core.schedule.cron import Cron

    return Cron(f"{job.at_time.second} {job.at_time.minute} * * * *", job.at_time_zone)
