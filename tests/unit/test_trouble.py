"""What is overdue, and when a child that was in trouble is well again."""

from __future__ import annotations

from typing import Any

from supervisor.core.trouble import SETTLED, TRIED, Found, Seen, Trouble

NOON = 1_800_000_000.0
AFTER = 300.0
WELL: dict[str, Any] = {"wanted": True, "ready": True, "coming": False, "well": True, "told": False, "why": ""}
COMING = WELL | {"ready": False, "coming": True, "well": False, "why": "exited with 75: no database"}


def look(trouble: Trouble, now: float, seen: dict[str, Any], within: float | None = None) -> list[Found]:
    return trouble.look(Seen(**seen), now, NOON + now, after=AFTER, within=within)


def test_a_child_that_is_well_is_no_trouble() -> None:
    trouble = Trouble()
    assert all(look(trouble, now, WELL) == [] for now in range(0, 10_000, 100))


def test_a_child_that_is_not_ready_for_minutes_is_overdue_once() -> None:
    trouble = Trouble()
    assert look(trouble, 0, COMING) == look(trouble, AFTER - 1, COMING) == []
    ((kind, text),) = look(trouble, AFTER, COMING)
    assert (kind, text) == ("overdue", "not ready for 5m: exited with 75: no database")
    trouble.raised("overdue", AFTER)
    assert look(trouble, 2 * AFTER, COMING) == []


def test_a_child_without_a_reason_is_overdue_too() -> None:
    trouble = Trouble()
    look(trouble, 0, COMING | {"why": ""})
    assert look(trouble, AFTER, COMING | {"why": ""}) == [("overdue", "not ready for 5m: no reason is known")]


def test_to_be_ready_in_between_starts_the_time_anew() -> None:
    trouble = Trouble()
    look(trouble, 0, COMING)
    look(trouble, 200, WELL)
    look(trouble, 201, COMING)
    assert look(trouble, 400, COMING) == []


def test_a_child_that_drains_a_long_run_is_not_overdue() -> None:
    trouble = Trouble()
    draining = COMING | {"coming": False}
    assert look(trouble, 0, draining) == look(trouble, 10 * AFTER, draining) == []


def test_what_was_given_up_or_loops_has_an_alert_of_its_own() -> None:
    trouble = Trouble()
    look(trouble, 0, COMING)
    assert look(trouble, AFTER, COMING | {"told": True}) == []


def test_a_child_that_nobody_wants_is_no_trouble_and_no_recovery() -> None:
    trouble = Trouble()
    look(trouble, 0, COMING)
    trouble.raised("fatal", 1)
    assert look(trouble, AFTER, COMING | {"wanted": False}) == []
    assert trouble.open == {}
    assert look(trouble, AFTER + 1, WELL) == look(trouble, AFTER + 100, COMING) == []


def test_it_is_well_again_only_after_an_alert() -> None:
    trouble = Trouble()
    trouble.raised("fatal", 10)
    trouble.raised("crash_loop", 20)
    assert look(trouble, 70, COMING) == look(trouble, 80, WELL | {"well": False}) == look(trouble, 90, WELL) == []
    assert look(trouble, 90 + SETTLED, WELL) == [("recovered", "well again after 1m25s (crash loop, fatal)")]
    assert look(trouble, 200, WELL) == []


def test_a_child_that_is_well_for_a_moment_only_is_not_well_again() -> None:
    trouble = Trouble()
    trouble.raised("crash_loop", 0)
    for now in range(10, 100, 10):
        assert look(trouble, now, WELL) == look(trouble, now + 4, WELL) == look(trouble, now + 5, COMING) == []


def test_what_a_child_says_may_come_a_moment_after_its_notice() -> None:
    trouble = Trouble()
    look(trouble, 0, WELL)
    trouble.raised("task_paused", 10)
    assert look(trouble, 10, WELL) == look(trouble, 10.5, WELL) == []
    assert look(trouble, 11, WELL | {"well": False}) == look(trouble, 100, WELL) == []
    assert look(trouble, 100 + SETTLED, WELL) == [("recovered", "well again after 1m35s (task paused)")]


def test_a_partition_that_is_tried_again_is_not_well_again() -> None:
    trouble = Trouble()
    trouble.raised("partition_paused", 0)
    assert look(trouble, 10, WELL) == look(trouble, 10 + TRIED - 1, WELL) == []
    assert look(trouble, 10 + TRIED, WELL) == [("recovered", "well again after 40s (partition paused)")]


def test_nobody_recovers_from_a_dead_letter_or_from_a_recovery() -> None:
    trouble = Trouble()
    trouble.raised("dead_letter", 10)
    trouble.raised("recovered", 10)
    assert look(trouble, 100, WELL) == look(trouble, 200, WELL) == []


def slot(at: float) -> dict[str, Any]:
    return WELL | {"next_slot": NOON + at}


def test_a_task_of_which_no_run_ends_well_in_time_is_overdue() -> None:
    trouble = Trouble()
    assert look(trouble, 0, slot(100), within=60) == []
    assert trouble.awaited == NOON + 100
    assert look(trouble, 159, slot(150), within=60) == []  # failing runs move the next slot on
    assert look(trouble, 160, slot(150), within=60) == [
        ("overdue", "no run has ended well since the slot that was due 1m ago")
    ]


def test_without_expect_within_failing_runs_are_not_overdue() -> None:
    trouble = Trouble()
    assert all(look(trouble, now, slot(100)) == [] for now in range(0, 100_000, 1000))


def test_a_run_that_ends_well_satisfies_its_slot_and_those_before() -> None:
    trouble = Trouble()
    look(trouble, 0, slot(100), within=60)
    trouble.ran_well(NOON + 40)  # an older slot that was caught up
    assert look(trouble, 160, slot(100), within=60) != []
    trouble.ran_well(NOON + 100)
    assert look(trouble, 161, slot(100), within=60) == []  # the child did not say the next one yet
    assert look(trouble, 162, slot(200), within=60) == []
    assert look(trouble, 260, slot(200), within=60) != []


def test_an_overdue_task_is_well_again_after_a_run_that_ends_well() -> None:
    trouble = Trouble()
    look(trouble, 0, slot(100), within=60)
    assert look(trouble, 160, slot(200), within=60)
    trouble.raised("overdue", 160)
    assert look(trouble, 190, slot(200), within=60) == []
    trouble.ran_well(NOON + 200)
    assert look(trouble, 201, slot(300), within=60) == [("recovered", "well again after 41s (overdue)")]


def test_nobody_is_late_for_the_time_that_the_supervisor_was_frozen() -> None:
    trouble = Trouble()
    look(trouble, 0, COMING | {"next_slot": NOON + 100}, within=60)
    trouble.shift(1000, NOON + 1000)
    assert look(trouble, 1000, COMING | {"next_slot": NOON + 100}, within=60) == []
    assert look(trouble, 1000 + AFTER, COMING, within=60) != []
    trouble = Trouble()
    trouble.shift(1000, NOON + 1000)
    assert look(trouble, 1000, slot(1100), within=60) == []
    assert look(trouble, 1160, slot(1100), within=60) != []
