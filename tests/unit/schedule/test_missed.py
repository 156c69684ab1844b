"""What becomes of slots that fell due: every one comes out exactly once, as a run or in a range."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.schedule.cron import Cron
from supervisor.core.schedule.missed import STARTED, Decision, Range, Span, Why, closed, due, lost, overrun, unclosed
from supervisor.core.schedule.slots import Every, Once, Trigger
from supervisor.core.spec import TaskSettings

TEN = Every(10.0)


def task(**keys: object) -> TaskSettings:
    return TaskSettings(run="tasks:run", every=10.0, **keys)  # type: ignore[arg-type]


def missed(first: float, last: float, slots: int | None, reason: str = "down") -> Range:
    return Range(first, last, slots, "missed", reason)


def test_nothing_due_is_nothing_to_decide() -> None:
    assert due(TEN, 100, 109, task(), "down") == Decision()


def test_after_down_time_the_latest_runs_and_the_others_are_one_range() -> None:
    assert due(TEN, 100, 145, task(), "down") == Decision((140,), (missed(110, 130, 3),))


def test_without_catching_up_what_was_missed_stays_missed() -> None:
    assert due(TEN, 100, 149, task(catch_up="none"), "down") == Decision((), (missed(110, 140, 4),))


def test_a_slot_of_this_very_moment_is_no_catching_up() -> None:
    """A restart takes a fraction of a second; the slot in it is on time."""
    assert due(TEN, 100, 121, task(catch_up="none"), "down") == Decision((120,), (missed(110, 110, 1),))


def test_a_runner_that_woke_late_takes_the_last_slot_whatever_the_policy() -> None:
    decision = due(TEN, 100, 149, task(catch_up="none"), "late")
    assert decision == Decision((140,), (missed(110, 130, 3, "late"),))


def test_all_run_up_to_the_limit_the_newest_of_them() -> None:
    decision = due(TEN, 100, 165, task(catch_up="all", catch_up_limit=3), "down")
    assert decision == Decision((140, 150, 160), (missed(110, 130, 3),))


def test_what_is_older_than_the_window_is_missed() -> None:
    decision = due(TEN, 0, 1000, task(catch_up="all", catch_up_window=25.0), "down")
    assert decision == Decision((980, 990, 1000), (missed(10, 970, 97),))
    assert due(Once(50.0), 0, 1000, task(catch_up_window=60.0), "clock") == Decision((), (missed(50, 50, 1, "clock"),))


def test_a_start_deadline_bounds_every_start() -> None:
    assert due(TEN, 100, 119, task(start_deadline=8.0), "late") == Decision((), (missed(110, 110, 1, "late"),))
    assert due(TEN, 100, 117, task(start_deadline=8.0), "late") == Decision((110,))


def test_jitter_is_no_lateness() -> None:
    assert due(TEN, 100, 119, task(start_deadline=1.0, jitter=9.0), "late") == Decision((110,))
    assert due(TEN, 100, 119, task(catch_up="none", jitter=9.0), "down") == Decision((110,))


def test_what_fell_into_a_time_off_is_skipped_and_never_caught_up() -> None:
    decision = due(TEN, 100, 175, task(catch_up="all"), "down", [Span(125, 155)])
    assert decision.run == (110, 120, 160, 170)
    assert decision.closed == (Range(130, 150, 3, "skipped", "disabled"),)


def test_a_time_off_cuts_a_range() -> None:
    off = [Span(145, 165), Span(115, 125), Span(90, 95), Span(500, float("inf"))]
    found = unclosed(TEN, 100, 180, off)
    assert [(r.first, r.last, r.state, r.reason) for r in found] == [
        (110, 110, "missed", "down"),
        (120, 120, "skipped", "disabled"),
        (130, 140, "missed", "down"),
        (150, 160, "skipped", "disabled"),
        (170, 180, "missed", "down"),
    ]


def test_what_was_started_and_not_recorded_is_lost_and_what_came_after_is_missed() -> None:
    assert lost(TEN, 100, 130) == (Range(110, 130, 3, "lost", STARTED),)
    assert unclosed(TEN, 100, 155, ran=130) == (Range(110, 130, 3, "lost", STARTED), missed(140, 150, 2))
    assert unclosed(TEN, 100, 125, ran=130) == (Range(110, 120, 2, "lost", STARTED),)


@pytest.mark.parametrize("ran", [None, 90, 100])
def test_what_is_recorded_already_is_not_lost(ran: float | None) -> None:
    assert unclosed(TEN, 100, 125, ran=ran) == (missed(110, 120, 2),)


def test_a_time_off_cuts_what_is_lost_too() -> None:
    found = lost(TEN, 100, 150, [Span(115, 135)])
    assert [(r.first, r.last, r.state) for r in found] == [
        (110, 110, "lost"),
        (120, 130, "skipped"),
        (140, 150, "lost"),
    ]


def test_slots_in_a_run_are_skipped_as_one_range() -> None:
    assert overrun(TEN, 110, 145, "skip") == Decision((), (Range(120, 140, 3, "skipped", "overlap"),))
    assert overrun(TEN, 110, 119, "skip") == Decision()


def test_or_the_last_of_them_is_queued() -> None:
    assert overrun(TEN, 110, 145, "queue_one") == Decision((140,), (Range(120, 130, 2, "skipped", "overlap"),))
    assert overrun(TEN, 110, 125, "queue_one") == Decision((120,))
    assert overrun(TEN, 110, 119, "queue_one") == Decision()


def test_a_slot_that_ended_a_run_runs_and_so_does_the_last_of_several() -> None:
    assert overrun(TEN, 110, 121, "cancel") == Decision((120,))
    assert overrun(TEN, 110, 131, "cancel") == Decision((130,), (Range(120, 120, 1, "skipped", "overlap"),))


def test_a_year_of_seconds_is_decided_at_once() -> None:
    every_second = Cron("* * * * * *", ZoneInfo("UTC"))
    decision = due(every_second, 0, 366 * 86400, task(), "down")
    assert decision == Decision((366 * 86400,), (missed(1, 366 * 86400 - 1, None),))


def test_a_range_over_nothing_is_none() -> None:
    assert list(closed(TEN, 101, 109, "skipped", "paused")) == []


triggers: st.SearchStrategy[Trigger] = st.one_of(
    st.builds(Every, st.integers(1, 40).map(float)),
    st.sampled_from([Cron("*/2 * * * *", ZoneInfo("UTC")), Cron("3,4,40 * * * *", ZoneInfo("Europe/Berlin"))]),
)
spans = st.lists(st.builds(lambda a, n: Span(a, a + n), st.integers(0, 3000), st.integers(1, 500)), max_size=3)


@given(
    triggers, st.integers(0, 2000), st.integers(0, 2000), spans,
    st.sampled_from(["none", "latest", "all"]), st.integers(0, 2000), st.integers(1, 12),
    st.sampled_from(["down", "late", "clock"]),
)  # fmt: skip
def test_every_slot_comes_out_exactly_once(
    trigger: Trigger, after: int, span: int, off: list[Span], catch_up: str, window: int, limit: int, why: Why
) -> None:
    settings = task(catch_up=catch_up, catch_up_window=float(window), catch_up_limit=limit)
    decision = due(trigger, after, after + span, settings, why, off)
    told = [s for r in decision.closed for s in trigger.between(r.first - 0.0005, r.last)]
    assert sorted([*told, *decision.run]) == list(trigger.between(after, after + span))
    for each in decision.closed:
        assert each.slots == len(list(trigger.between(each.first - 0.0005, each.last)))
        disabled = any(s.after < each.first <= s.until for s in off)
        assert (each.state, each.reason) == (("skipped", "disabled") if disabled else ("missed", why))


@pytest.mark.parametrize("overlap", ["skip", "queue_one", "cancel"])
@given(trigger=triggers, after=st.integers(0, 2000), span=st.integers(0, 2000))
def test_no_slot_is_lost_in_an_overrun(overlap: str, trigger: Trigger, after: int, span: int) -> None:
    decision = overrun(trigger, after, after + span, overlap)  # type: ignore[arg-type]
    told = [s for r in decision.closed for s in trigger.between(r.first - 0.0005, r.last)]
    assert sorted([*told, *decision.run]) == list(trigger.between(after, after + span))
