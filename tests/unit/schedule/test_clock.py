"""The `schedule` builder on our clock, against everything its own clock was measured to do wrong."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import schedule
from hypothesis import given
from hypothesis import strategies as st

from supervisor.child.schedule.clock import Scheduler, build
from supervisor.core.schedule.slots import trigger
from supervisor.core.spec import TaskSettings


class Clock:
    """A wall clock that a test moves."""

    def __init__(self, t: float = 1_795_590_000.0) -> None:
        self.t = t

    def __call__(self) -> float:
        return self.t


def live(scheduler: Scheduler, clock: Clock, until: float) -> None:
    """Sleep as a runner does, to the next slot, and run what is due; errors are not caught by schedule."""
    while (idle := scheduler.idle_seconds) is not None and clock.t + idle <= until:
        clock.t += idle
        try:
            scheduler.run_pending()
        except RuntimeError:
            pass
    clock.t = until


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_a_job_that_raises_neither_repeats_itself_nor_starves_the_others() -> None:
    clock = Clock()
    scheduler, ran = Scheduler(clock), {"raises": 0, "other": 0}

    def raises() -> None:
        ran["raises"] += 1
        raise RuntimeError

    def other() -> None:
        ran["other"] += 1

    scheduler.every(30).seconds.do(raises)
    scheduler.every(40).seconds.do(other)
    live(scheduler, clock, clock.t + 600)
    assert ran == {"raises": 20, "other": 15}


def test_a_long_run_loses_no_slot_and_does_not_drift() -> None:
    """schedule's own clock: 3 s every 30 s lose 269 of 2,879 slots a day."""
    clock = Clock()
    scheduler, slots = Scheduler(clock), []

    def run() -> None:
        slots.append(scheduler.jobs[0].slot)
        clock.t += 3

    scheduler.every(30).seconds.do(run)
    live(scheduler, clock, clock.t + 86400)
    assert len(slots) == 2880
    assert all(slot is not None and slot % 30 == 0 for slot in slots)


def test_a_run_over_several_slots_goes_on_with_the_next_one_on_the_grid() -> None:
    clock = Clock(1000.0)
    scheduler, slots = Scheduler(clock), []

    def run() -> None:
        slots.append(scheduler.jobs[0].slot)
        clock.t += 25

    scheduler.every(10).seconds.do(run)
    live(scheduler, clock, 1100)
    assert slots == [1010, 1040, 1070, 1100]


def test_a_clock_set_back_is_followed_when_what_is_settled_is() -> None:
    """schedule's own clock is silent for 7,230 s after two hours back. What may run again, the ledger says."""
    clock = Clock()
    scheduler = Scheduler(clock)
    scheduler.every(30).seconds.do(print)
    clock.t -= 7200
    scheduler.reschedule()
    idle = scheduler.idle_seconds
    assert idle is not None
    assert idle <= 30


def test_waiting_is_never_negative_and_nothing_to_wait_for_is_none() -> None:
    clock = Clock()
    scheduler = Scheduler(clock)
    assert scheduler.idle_seconds is None
    assert scheduler.next_slot is None
    scheduler.every(30).seconds.do(print)
    clock.t += 7200
    assert scheduler.idle_seconds == 0.0


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_a_daily_job_runs_once_on_the_days_on_which_schedule_runs_it_1801_times(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`.at("06:30", "UTC")` on a host in New York, 1 November 2026; here polled every second."""
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        clock = Clock(at("2026-11-01T04:00"))
        scheduler, ran = Scheduler(clock), []
        scheduler.every().day.at("06:30", "UTC").do(lambda: ran.append(clock.t))
        while clock.t < at("2026-11-01T08:00"):
            clock.t += 1
            scheduler.run_pending()
        assert ran == [at("2026-11-01T06:30")]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_day_after_a_change_has_no_extra_run() -> None:
    clock = Clock(at("2026-03-28T12:00"))
    scheduler, ran = Scheduler(clock), []
    scheduler.every().day.at("02:30", "Europe/Berlin").do(lambda: ran.append(clock.t))
    live(scheduler, clock, at("2026-03-31T12:00"))
    assert ran == [at(t) for t in ("2026-03-29T01:00", "2026-03-30T00:30", "2026-03-31T00:30")]


def test_jitter_moves_the_start_and_not_the_slot() -> None:
    clock = Clock(1000.0)
    scheduler = Scheduler(clock, delay=lambda: 4.0)
    job = scheduler.every(10).seconds.do(print)
    assert (job.slot, job.due, scheduler.idle_seconds) == (1010, 1014, 14)
    scheduler.delay = lambda: 1.0
    scheduler.reschedule()
    assert job.due == 1014  # drawn once for a slot


def test_two_jobs_due_at_once_run_in_the_order_of_their_slots() -> None:
    clock = Clock(1000.0)
    scheduler, ran = Scheduler(clock), []
    scheduler.every(20).seconds.do(lambda: ran.append("20"))
    scheduler.every(10).seconds.do(lambda: ran.append("10"))
    clock.t = 1025
    scheduler.run_pending()
    assert ran == ["10", "20"]


def test_what_the_run_before_settled_is_not_run_again() -> None:
    clock = Clock(1000.0)
    settled, ran = [1000.0], []
    scheduler = Scheduler(clock, lambda: settled[0])

    def run() -> None:
        ran.append(clock.t)
        settled[0] = clock.t
        scheduler.reschedule()

    scheduler.every(10).seconds.do(run)
    scheduler.every(20).seconds.do(run)
    clock.t = 1025
    scheduler.run_pending()
    assert ran == [1025]


def test_the_rest_of_the_library_works_as_before() -> None:
    clock = Clock(1000.0)
    scheduler = Scheduler(clock)
    job = scheduler.every(2).minutes.tag("mail").do(print, "hello")
    assert scheduler.get_jobs("mail") == [job]
    assert "Every 2 minutes do print('hello')" in repr(job)
    scheduler.every().monday.at("06:30", "Europe/Berlin").do(lambda: schedule.CancelJob)
    assert len(scheduler.get_jobs()) == 2
    assert scheduler.next_run is not None
    scheduler.cancel_job(job)
    clock.t += 8 * 86400
    scheduler.run_pending()  # the job cancels itself
    assert scheduler.get_jobs() == []


def test_what_has_no_fixed_slots_is_refused() -> None:
    scheduler = Scheduler(Clock())
    with pytest.raises(schedule.ScheduleError, match="jitter"):
        scheduler.every(5).to(10).seconds.do(print)
    with pytest.raises(schedule.ScheduleValueError, match="zone"):
        scheduler.every().day.at("06:30").do(print)
    with pytest.raises(schedule.ScheduleValueError, match="cron"):
        scheduler.every(2).days.at("06:30", "UTC").do(print)
    with pytest.raises(schedule.ScheduleValueError, match="in what"):
        scheduler.every(5).do(print)
    assert schedule.default_scheduler.jobs == []


TASKS = [
    {"every": 30.0},
    {"every": 0.25},
    {"at": ("06:30",), "timezone": "Europe/Berlin"},
    {"at": ("02:30", "18:00:10"), "on": ("mon", "sat", "sun"), "timezone": "America/New_York"},
    {"cron": "*/20 1-3 * * *", "timezone": "Australia/Lord_Howe"},
    {"once": "2026-11-26T00:00:00Z"},
]


@pytest.mark.parametrize("keys", TASKS)
@given(start=st.integers(1_764_000_000, 1_796_000_000))
def test_the_builder_and_the_core_name_the_same_slots(keys: dict[str, object], start: int) -> None:
    settings = TaskSettings(run="tasks:run", **keys)  # type: ignore[arg-type]
    scheduler = Scheduler(Clock(start))
    build(scheduler, settings, print)
    due, expected = scheduler.trigger, trigger(settings)
    t: float | None = start
    for _ in range(20):
        assert t is not None
        assert due.next_after(t) == expected.next_after(t)
        assert due.last_between(start, t) == expected.last_between(start, t)
        if (t := expected.next_after(t)) is None:
            break


def test_the_library_still_has_what_is_replaced() -> None:
    """Its private parts: pinned below 2 for this reason."""
    assert schedule.Job._schedule_next_run is not None
    assert schedule.Scheduler._run_job is not None
    assert isinstance(schedule.Scheduler.idle_seconds, property)
    assert isinstance(schedule.Job.should_run, property)
