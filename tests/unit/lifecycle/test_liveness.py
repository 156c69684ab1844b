from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.lifecycle.events import Pulse
from supervisor.core.lifecycle.exits import Cause
from supervisor.core.lifecycle.liveness import Liveness
from supervisor.core.spec import Policy
from supervisor.core.wire.page import RUNNING, Doing

POLICY = Policy(heartbeat_timeout=20.0)


def doing(count: int, since: float, budget: float | None = 10.0) -> Doing:
    return Doing(count, "handling", since, budget, "orders")


def test_a_process_is_hung_from_the_timeout_on_and_not_before() -> None:
    life = Liveness(beat_at=100.0)
    assert life.verdict(POLICY, 119.99) is None
    assert life.verdict(POLICY, 120.0) == (Cause.HUNG, "no heartbeat for 20 s")


def test_a_heartbeat_moves_the_deadline_and_an_older_one_does_not_move_it_back() -> None:
    life = Liveness(beat_at=100.0)
    life.heard(Pulse(beat_at=110.0, rss=5))
    life.heard(Pulse(beat_at=105.0, rss=6))
    assert (life.deadline(POLICY), life.rss) == (130.0, 6)
    life.heard(Pulse())
    assert (life.deadline(POLICY), life.rss) == (130.0, 6)


def test_a_phase_that_lasts_beyond_its_budget_is_stuck_and_the_words_say_in_what() -> None:
    life = Liveness(beat_at=100.0)
    life.heard(Pulse(beat_at=112.0, doing=doing(1, 102.0)))
    assert (life.deadline(POLICY), life.verdict(POLICY, 111.9)) == (112.0, None)
    assert life.verdict(POLICY, 112.0) == (Cause.STUCK, "no progress: handling orders for 10 s, 10 s allowed")


def test_a_run_that_lasts_beyond_its_budget_is_timed_out() -> None:
    life = Liveness(beat_at=100.0)
    life.heard(Pulse(beat_at=112.0, doing=Doing(1, RUNNING, 102.0, 10.0, "12:00")))
    assert life.verdict(POLICY, 112.0) == (Cause.TIMED_OUT, "timed out: running 12:00 for 10 s, 10 s allowed")


def test_a_phase_without_a_budget_is_never_stuck() -> None:
    life = Liveness(beat_at=100.0)
    life.heard(Pulse(beat_at=5000.0, doing=doing(1, 100.0, None)))
    assert (life.stuck_at(), life.verdict(POLICY, 5001.0)) == (None, None)


def test_the_newest_phase_counts_in_whatever_order_looks_arrive() -> None:
    life = Liveness(beat_at=100.0)
    life.heard(Pulse(doing=doing(2, 109.0)))
    life.heard(Pulse(doing=doing(1, 90.0)))
    assert life.doing == doing(2, 109.0)


def test_a_phase_counts_from_ready_at_the_earliest() -> None:
    life = Liveness(beat_at=150.0, ready_at=150.0)
    life.heard(Pulse(doing=Doing(1, "loading", 100.0, 60.0)))
    assert life.stuck_at() == 210.0


def test_frozen_time_is_credited_to_the_last_heartbeat_and_to_the_phase() -> None:
    life = Liveness(beat_at=100.0)
    life.heard(Pulse(doing=doing(1, 100.0)))
    life.shift(30.0, 135.0)
    assert (life.hung_at(POLICY), life.stuck_at()) == (150.0, 140.0)


def test_a_phase_that_was_not_yet_seen_before_the_machine_stood_still_is_credited_too() -> None:
    life = Liveness(beat_at=100.0)
    life.heard(Pulse(doing=doing(1, 100.0)))
    life.shift(30.0, 135.0)
    life.heard(Pulse(beat_at=104.5, doing=doing(2, 104.0)))
    assert (life.hung_at(POLICY), life.stuck_at()) == (154.5, 144.0)


def test_a_phase_that_began_in_frozen_time_is_credited_with_the_rest_of_it() -> None:
    life = Liveness(beat_at=100.0)
    life.shift(30.0, 135.0)
    life.heard(Pulse(doing=doing(1, 130.0)))
    assert life.stuck_at() == 145.0


def test_gaps_that_no_longer_matter_are_forgotten() -> None:
    life = Liveness(beat_at=100.0)
    life.shift(5.0, 105.0)
    life.shift(5.0, 115.0)
    life.heard(Pulse(beat_at=107.0))
    assert life.gaps == [(110.0, 115.0)]
    life.heard(Pulse(beat_at=120.0, doing=doing(1, 112.0)))
    assert life.gaps == [(110.0, 115.0)]
    life.heard(Pulse(beat_at=120.0, doing=doing(2, 119.0)))
    assert life.gaps == []


@given(st.floats(0.0, 19.0), st.lists(st.floats(0.1, 100.0), max_size=5))
def test_no_gap_condemns_a_process_that_beats(silence: float, gaps: list[float]) -> None:
    life, now = Liveness(beat_at=0.0), silence
    for gap in gaps:
        now += gap
        life.shift(gap, now)
    assert life.verdict(POLICY, now) is None
    assert life.hung_at(POLICY) - now > 0.9
