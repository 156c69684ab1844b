"""Any event in any situation: nothing raises, and what must always hold holds."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.child import Child
from supervisor.core.lifecycle.events import Action, Event, State
from unit.lifecycle.made import EVENTS, NOW, SITUATIONS, child, situation

LIVING = {State.STARTING, State.RUNNING, State.STOPPING}
TO_THE_LIVING = (ev.Drain, ev.Terminate, ev.Kill, ev.Dump)


def possible(made: Child, event: Event) -> bool:
    """A driver answers what it was asked, and buries what it has."""
    match event:
        case ev.Spawned() | ev.SpawnFailed():
            return made.to_be_forked
        case ev.Exited() | ev.Greeted() | ev.BecameReady() | ev.Pulse() | ev.Broken():
            return made.alive
    return True


def step(made: Child, event: Event, now: float) -> None:
    before, alive, generation = made.state, made.alive, made.generation
    actions = made.step(event, now)
    changes = [action for action in actions if isinstance(action, ev.Changed)]
    assert [before, *(change.new for change in changes)] == [*(change.old for change in changes), made.state]
    spawned = [action for action in actions if isinstance(action, ev.Spawn)]
    assert len(spawned) <= 1
    if spawned:
        assert made.wanted
        assert not made.alive
        assert not made.leftovers
        assert made.generation == generation + 1
    assert alive or not any(isinstance(action, TO_THE_LIVING) for action in actions)
    holds(made, actions)


def holds(made: Child, actions: list[Action]) -> None:
    assert not made.alive or made.state in LIVING
    assert made.alive or made.state not in (State.RUNNING, State.STOPPING)
    assert made.state is not State.STOPPED or not made.wanted
    assert made.state not in (State.BACKOFF, State.FATAL) or made.wanted
    if made.wakes_at() is None:
        may_wait = made.settled or made.leftovers or made.to_be_forked or made.state is State.FATAL
        assert may_wait or "cannot be killed" in made.reason or made.phase.name == "KILLING"


@pytest.mark.parametrize("name", SITUATIONS)
@pytest.mark.parametrize("event", EVENTS, ids=repr)
@pytest.mark.parametrize("later", [0.0, 3.0, 1000.0])
def test_any_event_is_answered_in_any_situation(name: str, event: Event, later: float) -> None:
    made = situation(name, max_rss=1 << 20, drain_timeout=5.0)
    if possible(made, event):
        step(made, event, NOW + later)
    else:
        made.step(event, NOW + later)  # no driver does this; it must not raise


def test_any_two_events_are_answered_in_any_situation() -> None:
    for name, first, second in itertools.product(SITUATIONS, EVENTS, EVENTS):
        made = situation(name)
        for event in (first, second):
            if possible(made, event):
                step(made, event, NOW + 1)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.floats(0.0, 40.0)), max_size=40), st.booleans())
def test_any_sequence_of_possible_events_keeps_the_rules(sequence: list[tuple[Event, float]], fatal: bool) -> None:
    made = child(crash_loop_count=2, drain_timeout=5.0, on_crash_loop="fatal" if fatal else "hold")
    now = NOW
    for event, pause in sequence:
        now += pause
        wakes_at = made.wakes_at()
        if wakes_at is not None and wakes_at <= now:
            step(made, ev.Tick(), now)
        if possible(made, event):
            step(made, event, now)


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_is_due_does_not_stay_due(name: str) -> None:
    """A loop that sleeps until `wakes_at` and ticks never spins."""
    made = situation(name)
    for _ in range(50):
        at = made.wakes_at()
        if at is None:
            return
        made.step(ev.Tick(), at)
        if made.to_be_forked:
            made.step(ev.SpawnFailed("EAGAIN"), at)
        after = made.wakes_at()
        assert after is None or after > at
