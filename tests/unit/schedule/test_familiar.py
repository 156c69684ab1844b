"""`from supervisor import schedule`: the words of the library, on slots."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from supervisor import schedule
from supervisor.child.schedule import familiar


class Clock:
    def __init__(self, text: str) -> None:
        self.t = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()

    def __call__(self) -> float:
        return self.t


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    schedule.clear()
    monkeypatch.undo()
    time.tzset()


def ran(scheduler: familiar.Scheduler, clock: Clock, seconds: int) -> list[str]:
    """Poll every second, as people do; the slots for which the one job ran, in UTC."""
    found: list[str] = []
    (job,) = scheduler.get_jobs()
    assert isinstance(job, familiar.Job)
    job.do(lambda: found.append(f"{datetime.fromtimestamp(job.slot or 0, UTC):%d. %H:%M:%S}"))
    del scheduler.jobs[1:]  # do() puts it on the list again
    for _ in range(seconds):
        scheduler.run_pending()
        clock.t += 1
    return found


@pytest.mark.parametrize(
    ("say", "expected"),
    [
        (lambda s: s.every(20).minutes, ["25. 00:20:00", "25. 00:40:00", "25. 01:00:00", "25. 01:20:00"]),
        (lambda s: s.every().hour.at(":30"), ["25. 00:30:00", "25. 01:30:00"]),
        (lambda s: s.every().hour.at("20:15"), ["25. 00:20:15", "25. 01:20:15"]),
        (lambda s: s.every(30).minutes.at(":05"), ["25. 00:00:05", "25. 00:30:05", "25. 01:00:05", "25. 01:30:05"]),
        (lambda s: s.every().day.at("02:30"), ["25. 00:30:00"]),
        (lambda s: s.every().sunday.at("02:30"), ["25. 00:30:00"]),
        (lambda s: s.every().day.at("01:15", "UTC"), ["25. 01:15:00"]),
    ],
)
def test_the_hour_that_comes_twice_is_no_trouble(say: object, expected: list[str]) -> None:
    """The library's own clock is silent for an hour there, or runs a job 1,801 times."""
    clock = Clock("2026-10-25T00:00:00.5")
    scheduler = familiar.Scheduler(clock)
    say(scheduler).do(print)  # type: ignore[operator]
    assert ran(scheduler, clock, 6000)[: len(expected) + 1] == expected


def test_a_job_ends_at_its_until() -> None:
    clock = Clock("2026-11-25T12:00:00.5")
    scheduler = familiar.Scheduler(clock)
    until = datetime(2040, 1, 1)  # the library compares it with its own clock  # noqa: DTZ001
    clock.t = until.astimezone(UTC).timestamp() - 150
    scheduler.every().minute.until(until).do(print)
    assert len(ran(scheduler, clock, 600)) == 3
    assert scheduler.get_jobs() == []


def test_what_a_job_returns_comes_through_and_may_end_it() -> None:
    clock = Clock("2026-11-25T12:00:00.5")
    scheduler = familiar.Scheduler(clock)
    scheduler.every(30).seconds.do(lambda: schedule.CancelJob)
    clock.t += 60
    scheduler.run_pending()
    assert scheduler.get_jobs() == []


def test_the_module_has_the_words_of_the_library() -> None:
    calls: list[str] = []

    @schedule.repeat(schedule.every(30).seconds, "repeated")
    def called(what: str) -> None:
        calls.append(what)

    job = schedule.every(1000).days.do(calls.append, "far").tag("slow")
    assert schedule.get_jobs("slow") == [job]
    assert len(schedule.jobs) == 2
    assert schedule.next_run() is not None
    idle = schedule.idle_seconds()
    assert idle is not None
    assert 0 <= idle <= timedelta(seconds=30).total_seconds()
    schedule.run_all()
    assert calls == ["repeated", "far"]
    schedule.cancel_job(job)
    schedule.run_pending()
    assert len(schedule.get_jobs()) == 1
    schedule.clear()
    assert schedule.idle_seconds() is None


def test_what_has_no_fixed_slots_is_refused_in_words() -> None:
    with pytest.raises(schedule.ScheduleError, match="use jitter"):
        schedule.every(5).to(10).seconds.do(print)
    with pytest.raises(schedule.ScheduleValueError, match="for several hours use cron"):
        schedule.every(2).hours.at(":30").do(print)
    with pytest.raises(schedule.ScheduleValueError, match="for others use cron"):
        schedule.every(2).days.at("06:30").do(print)


@pytest.mark.parametrize(
    ("tz", "target", "expected"),
    [
        ("Asia/Kolkata", "", "Asia/Kolkata"),
        (":Asia/Kolkata", "", "Asia/Kolkata"),
        ("", "/usr/share/zoneinfo/Europe/Warsaw", "Europe/Warsaw"),
    ],
)
def test_the_zone_of_the_host_is_found(tz: str, target: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", tz)
    monkeypatch.setattr(familiar, "_LOCALTIME", target)
    assert familiar.local_zone() == expected


def test_a_host_whose_zone_has_no_name_is_asked_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "<+03>-3")
    with pytest.raises(schedule.ScheduleValueError, match="name the zone"):
        familiar.local_zone()
