from __future__ import annotations

from supervisor.core.lifecycle.exits import Cause
from supervisor.core.lifecycle.failures import LEAST_WAIT, Failures
from supervisor.core.spec import Policy

POLICY = Policy(backoff_jitter=0.0, crash_loop_count=3, crash_loop_window=60.0)


def failed(*at: float, cause: Cause = Cause.CRASH) -> Failures:
    failures = Failures()
    for moment in at:
        failures.add(cause, "exited with 1", POLICY, moment)
    return failures


def test_counted_failures_are_remembered_with_the_time_of_the_first() -> None:
    failures = failed(10.0, 100.0)
    assert (failures.in_row, failures.total, failures.first_at) == (2, 2, 10.0)


def test_the_same_reason_is_counted_apart() -> None:
    failures = failed(10.0, 100.0)
    assert failures.same == 2
    failures.add(Cause.HUNG, "no heartbeat for 20 s", POLICY, 200.0)
    assert (failures.same, failures.in_row) == (1, 3)


def test_what_is_the_machines_trouble_is_not_counted() -> None:
    failures = failed(10.0, 11.0, 12.0, 13.0, cause=Cause.NOT_FORKED)
    assert (failures.in_row, failures.total, failures.looping, failures.uncounted) == (0, 0, False, 4)
    assert failures.any


def test_a_crash_loop_is_told_when_it_begins_and_only_then() -> None:
    failures = Failures()
    told = [failures.add(Cause.CRASH, "x", POLICY, at) for at in (0.0, 10.0, 20.0, 30.0)]
    assert told == [False, False, True, False]
    assert failures.looping


def test_old_failures_leave_the_window() -> None:
    failures = failed(0.0, 10.0, 20.0)
    assert failures.looping
    failures.add(Cause.CRASH, "x", POLICY, 75.0)
    assert (failures.looping, failures.recent) == (False, [20.0, 75.0])


def test_counted_ones_wait_from_zero_and_refused_ones_never() -> None:
    assert [failed(*range(n)).wait(Cause.CRASH, POLICY, 0.0) for n in (1, 2, 3)] == [0.0, 1.0, 2.0]
    refused = [failed(*range(n), cause=Cause.UNAVAILABLE).wait(Cause.UNAVAILABLE, POLICY, 0.0) for n in (1, 2, 3)]
    assert refused == [1.0, 2.0, 4.0]


def test_memory_waits_from_zero_although_it_is_not_counted() -> None:
    waits = [failed(*range(n), cause=Cause.MEMORY).wait(Cause.MEMORY, POLICY, 0.0) for n in (1, 2, 3)]
    assert waits == [0.0, 1.0, 2.0]


def test_without_a_backoff_a_refused_fork_still_waits_a_little() -> None:
    policy = Policy(backoff_base=0.0)
    assert failed(0.0, cause=Cause.NOT_FORKED).wait(Cause.NOT_FORKED, policy, 0.0) == LEAST_WAIT


def test_a_stable_child_has_no_past_but_its_total() -> None:
    failures = failed(0.0, 10.0, 20.0)
    failures.forget()
    assert not failures.any
    assert (failures.same, failures.reason, failures.recent, failures.looping, failures.total) == (0, "", [], False, 3)
