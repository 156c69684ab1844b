"""When a run is to end that has not ended by itself."""

from __future__ import annotations

from supervisor.core.schedule.limits import Limit, limit, overtaken
from supervisor.core.spec import TaskSettings


def task(**keys: object) -> TaskSettings:
    return TaskSettings(run="tasks:run", every=10.0, **keys)  # type: ignore[arg-type]


CANCEL = task(overlap="cancel", timeout=None, kill_after=10.0)


def test_a_run_has_its_timeout_and_the_parent_comes_after_that() -> None:
    assert limit(task(timeout=60.0, kill_after=10.0), 5.0, coroutine=False) == Limit(None, 60.0, 75.0)
    assert limit(task(timeout=None), 5.0, coroutine=True) == Limit()


def test_the_next_slot_asks_a_function_first_and_ends_a_coroutine_at_once() -> None:
    assert limit(CANCEL, 5.0, coroutine=False) == Limit(5.0, 6.0, 21.0, "overlap")
    assert limit(CANCEL, 5.0, coroutine=True) == Limit(5.0, 5.0, 20.0, "overlap")
    assert limit(task(overlap="cancel", kill_after=0.2), 5.0, coroutine=False).soft == 5.2


def test_a_timeout_before_the_next_slot_comes_first() -> None:
    assert limit(task(overlap="cancel", timeout=3.0), 5.0, coroutine=True) == Limit(5.0, 3.0, 18.0)


def test_without_a_next_slot_only_the_timeout_bounds_a_run() -> None:
    assert limit(task(overlap="cancel", timeout=3.0), None, coroutine=True) == Limit(None, 3.0, 18.0)


def test_a_slot_that_is_due_already_ends_a_run_at_once() -> None:
    assert limit(CANCEL, -0.001, coroutine=True) == Limit(0.0, 0.0, 15.0, "overlap")


def test_who_was_killed_for_the_next_slot() -> None:
    row = {"started": 100.0, "reason": None}
    assert overtaken(CANCEL, row, "timed_out", 116.0)
    long = task(overlap="cancel", timeout=60.0)
    assert overtaken(long, row, "timed_out", 116.0), "its own timeout was not over"
    assert not overtaken(long, row, "timed_out", 175.0)
    assert overtaken(long, {**row, "reason": "overlap"}, "timed_out", 175.0), "it was told so"
    assert not overtaken(long, {"started": None}, "hung", 116.0)
    assert not overtaken(task(overlap="skip", timeout=None), row, "timed_out", 116.0)


def test_no_slot_ends_what_people_asked_for() -> None:
    row = {"started": 100.0, "reason": "overlap"}
    assert [overtaken(CANCEL, {**row, "kind": kind}, "timed_out", 116.0) for kind in ("manual", "backfill")] == [
        False
    ] * 2
