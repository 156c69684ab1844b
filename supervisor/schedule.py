"""RUNS ANYWHERE: `from supervisor import schedule` in the place of `import schedule`: the same words, another clock.

An interval lies on a grid from the Unix epoch: it does not drift, whatever runs and for how long, and it is the same
after every start. A job that raises keeps no other from its turn. A time of day is due once on each day, whatever the
clock does. There is no process and no ledger behind it: for these, write the task into config.toml.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import datetime
from typing import TypeVar

from supervisor.child.schedule.clock import CancelJob, IntervalError, ScheduleError, ScheduleValueError
from supervisor.child.schedule.familiar import Job, Scheduler

__all__ = [
    "CancelJob",
    "IntervalError",
    "Job",
    "ScheduleError",
    "ScheduleValueError",
    "Scheduler",
    "cancel_job",
    "clear",
    "default_scheduler",
    "every",
    "get_jobs",
    "idle_seconds",
    "jobs",
    "next_run",
    "repeat",
    "run_all",
    "run_pending",
]
F = TypeVar("F", bound=Callable[..., object])

default_scheduler = Scheduler()
jobs = default_scheduler.jobs


def every(interval: float = 1) -> Job:
    return default_scheduler.every(interval)


def run_pending() -> None:
    """Run what is due, in the order of slots. An error of a job comes out after that job has its next slot."""
    default_scheduler.run_pending()


def run_all(delay_seconds: int = 0) -> None:
    default_scheduler.run_all(delay_seconds)


def get_jobs(tag: Hashable | None = None) -> list[Job]:
    return default_scheduler.get_jobs(tag)  # type: ignore[return-value]  # every() makes ours only


def clear(tag: Hashable | None = None) -> None:
    default_scheduler.clear(tag)


def cancel_job(job: Job) -> None:
    default_scheduler.cancel_job(job)


def next_run(tag: Hashable | None = None) -> datetime | None:
    return default_scheduler.get_next_run(tag)


def idle_seconds() -> float | None:
    """Seconds until the next job is due, never negative; None when there is none."""
    return default_scheduler.idle_seconds


def repeat(job: Job, *args: object, **kwargs: object) -> Callable[[F], F]:
    """Decorate a function that `job` runs: @repeat(every(30).seconds)."""

    def decorate(function: F) -> F:
        job.do(function, *args, **kwargs)
        return function

    return decorate
