"""Planned restarts of a consumer's members: one after the other, and never without an end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.events import How
from supervisor.core.lifecycle.exits import ExitStatus
from supervisor.core.lifecycle.fleet import Actions, Fleet
from supervisor.core.lifecycle.rolling import BOUND
from supervisor.core.spec import ChildSpec, ConsumerSettings, Policy, TaskSettings
from unit.lifecycle.made import CLEAN, CRASH, NOW, RUNNING

DRAIN = 8.0
POLICY = Policy(backoff_jitter=0.0, drain_timeout=DRAIN)
FIRST = ConsumerSettings(
    handler="m:h", topics=("t",), group_id="g", auto_offset_reset="latest", bootstrap_servers="b:9092", processes=3
)
SECOND = replace(FIRST, handler="m:other")
A, B, C = "orders:1", "orders:2", "orders:3"


def members(settings: ConsumerSettings = FIRST, count: int = 3, policy: Policy = POLICY) -> list[ChildSpec]:
    return [
        ChildSpec(name=name, group="orders", kind="consumer", enabled=True, policy=policy, settings=settings)
        for name in (A, B, C)[:count]
    ]


def fleet(*specs: ChildSpec) -> Fleet:
    made = Fleet(draw=lambda: 0.0)
    made.apply(specs, lambda spec: spec.enabled, NOW)
    for spec in specs:
        come_up(made, spec.name)
    return made


def come_up(made: Fleet, name: str, now: float = NOW) -> None:
    for event in RUNNING[1:]:
        made.step(name, event, now)


def replaced(made: Fleet, name: str) -> None:
    """Its process ends as it was asked to, and the next one is ready."""
    made.step(name, ev.Exited(CLEAN), NOW)
    come_up(made, name)


def acts(actions: Actions) -> list[str]:
    return [f"{name} {type(each).__name__.lower()}" for name, each in actions if not isinstance(each, ev.Changed)]


def told(actions: Actions) -> list[str]:
    return [f"{each.level}: {name}: {each.text}" for name, each in actions if isinstance(each, ev.Said)]


def all_joined(name: str) -> bool:
    return True


def nobody(name: str) -> bool:
    return False


def test_each_waits_until_the_one_before_has_joined() -> None:
    made = fleet(*members())
    begun = made.restart([A, B, C], "asked for", NOW)
    assert acts(begun) == [f"{A} said", f"{A} drain"]
    assert told(begun) == [f"info: {A}: restarting one after the other: {A}, {B}, {C}"]
    assert made.rolling.notes() == [f"orders: restarting one after the other, now {A}; 2 of 3 wait for their turn"]
    assert made.roll(all_joined, NOW) == [], "what joined is the process that ends"
    replaced(made, A)
    assert made.roll(nobody, NOW) == [], "ready is not joined"
    assert acts(made.roll(all_joined, NOW)) == [f"{B} drain"]
    replaced(made, B)
    assert acts(made.roll(all_joined, NOW)) == [f"{C} drain"]
    replaced(made, C)
    assert told(made.roll(all_joined, NOW)) == [f"info: {C}: the last one of its group that was to be restarted"]
    assert ("orders" in made.rolling, made.roll(all_joined, NOW), made.rolling.notes()) == (False, [], [])
    assert {child.failures.total for child in made.children.values()} == {0}


def test_new_settings_come_to_one_after_the_other() -> None:
    made = fleet(*members())
    assert acts(made.apply(members(SECOND), lambda spec: True, NOW)) == [f"{A} said", f"{A} drain"]


def test_a_member_more_and_other_settings_start_the_new_one_at_once() -> None:
    made = fleet(*members(count=2))
    assert acts(made.apply(members(SECOND), lambda spec: True, NOW)) == [f"{C} spawn", f"{A} said", f"{A} drain"]


def test_at_once_is_at_once_and_ends_what_goes_on_one_after_the_other() -> None:
    made = fleet(*members())
    made.restart([A, B, C], "asked for", NOW)
    assert acts(made.restart([A, B, C], "now", NOW, How.STOP)) == [f"{each} terminate" for each in (A, B, C)]
    assert "orders" not in made.rolling


def test_one_member_of_several_is_restarted_at_once_whoever_else_has_its_turn() -> None:
    made = fleet(*members())
    assert acts(made.restart([B], "asked for", NOW)) == [f"{B} drain"]
    replaced(made, B)
    made.restart([A, B, C], "asked for", NOW)
    assert acts(made.restart([C], "asked for", NOW)) == [f"{C} drain"]
    assert "orders" in made.rolling


def test_a_consumer_of_one_process_and_tasks_are_restarted_at_once() -> None:
    task = ChildSpec(
        name="mail", group="mail", kind="task", enabled=True, policy=POLICY, settings=TaskSettings(run="m")
    )
    made = fleet(members(count=1)[0], task)
    assert acts(made.restart([A, "mail"], "asked for", NOW)) == [f"{A} drain", "mail drain"]


def test_who_does_not_run_is_started_at_once() -> None:
    made = fleet(*members())
    made.step(C, ev.Exited(CRASH), NOW)
    made.step(C, ev.SpawnFailed("EAGAIN"), NOW)
    assert acts(made.restart([A, B, C], "asked for", NOW)) == [f"{A} said", f"{C} spawn", f"{A} drain"]


def test_after_a_bound_it_goes_on_and_says_so() -> None:
    made = fleet(*members())
    made.restart([A, B, C], "asked for", NOW)
    replaced(made, A)
    made.shift(5.0, NOW)
    assert made.roll(nobody, NOW + DRAIN + BOUND + 4.9) == []
    late = made.roll(nobody, NOW + DRAIN + BOUND + 5.0)
    assert acts(late) == [f"{A} said", f"{B} drain"]
    assert told(late) == [
        f"warning: {A}: restarted, and has not joined its group in time: {B} has its turn all the same"
    ]


def test_the_last_one_that_does_not_join_is_told_of_too() -> None:
    made = fleet(*members(count=2, policy=Policy()))
    made.restart([A, B], "asked for", NOW)
    replaced(made, A)
    made.roll(all_joined, NOW)
    assert [each.split(": ", 2)[2] for each in told(made.roll(nobody, NOW + BOUND))] == [
        "restarted, and has not joined its group in time: nobody waits for its turn",
        "the last one of its group that was to be restarted",
    ]


def test_a_new_process_that_is_given_up_leaves_the_others_as_they_are() -> None:
    made = fleet(*members())
    made.restart([A, B, C], "asked for", NOW)
    made.step(A, ev.Exited(CLEAN), NOW)
    made.step(A, ev.Spawned(8), NOW)
    made.step(A, ev.Exited(ExitStatus(code=78, bye="no module named x")), NOW)
    assert told(made.roll(all_joined, NOW)) == [
        f"error: {A}: its new process is given up (exited with 78: no module named x), so {B}, {C} are left as they are"
    ]
    assert "orders" not in made.rolling


def test_the_last_one_that_is_given_up_leaves_nobody() -> None:
    made = fleet(*members(count=2))
    made.restart([A, B], "asked for", NOW)
    replaced(made, A)
    made.roll(all_joined, NOW)
    made.step(B, ev.Exited(CLEAN), NOW)
    made.step(B, ev.Spawned(8), NOW)
    made.step(B, ev.Exited(ExitStatus(code=78)), NOW)
    assert (made.roll(all_joined, NOW), "orders" in made.rolling) == ([], False)


@pytest.mark.parametrize("how", ["disabled", "removed", "crashed"])
def test_whose_process_is_another_by_then_is_passed(how: str) -> None:
    made = fleet(*members())
    made.restart([A, B, C], "asked for", NOW)
    if how == "disabled":
        made.want(B, up=False, why="off", now=NOW)
    elif how == "removed":
        one, _, three = members()
        made.apply([one, three], lambda spec: True, NOW)
        made.step(B, ev.Exited(CLEAN), NOW)
        made.tick(NOW)
    else:
        made.step(B, ev.Exited(CRASH), NOW)
        made.tick(NOW + 1)
    replaced(made, A)
    assert acts(made.roll(all_joined, NOW)) == [f"{C} drain"]


def test_nobody_is_waited_for_who_is_switched_off_meanwhile() -> None:
    made = fleet(*members())
    made.restart([A, B, C], "asked for", NOW)
    made.want(A, up=False, why="off", now=NOW)
    assert acts(made.roll(nobody, NOW)) == [f"{B} drain"]


def test_asked_for_again_who_has_its_turn_keeps_it_and_is_not_restarted_twice() -> None:
    made = fleet(*members())
    made.restart([A, B, C], "asked for", NOW)
    again = made.restart([A, B, C], "again", NOW)
    assert told(again) == [f"info: {A}: restarting one after the other: {B}, {C}"]
    assert acts(again) == [f"{A} said"]
    replaced(made, A)
    assert acts(made.roll(all_joined, NOW)) == [f"{B} drain"]


def test_asked_for_again_a_process_that_was_replaced_before_is_replaced_once_more() -> None:
    made = fleet(*members(count=2))
    made.restart([A, B], "asked for", NOW)
    replaced(made, A)
    assert acts(made.restart([A, B], "again", NOW)) == [f"{A} said"]
    assert acts(made.roll(all_joined, NOW)) == [f"{B} drain"]
    replaced(made, B)
    assert acts(made.roll(all_joined, NOW)) == [f"{A} drain"]


def test_settings_that_change_while_it_drains_are_those_of_its_next_process() -> None:
    made = fleet(*members(count=2))
    made.apply(members(SECOND, count=2), lambda spec: True, NOW)
    made.apply(members(replace(SECOND, batch_size=7), count=2), lambda spec: True, NOW)
    replaced(made, A)
    assert acts(made.roll(all_joined, NOW)) == [f"{B} drain"]
    replaced(made, B)
    assert acts(made.roll(all_joined, NOW)) == [f"{B} said"]


def test_a_shutdown_ends_it() -> None:
    made = fleet(*members())
    made.restart([A, B, C], "asked for", NOW)
    made.stop(NOW, 10.0, "SIGTERM")
    assert ("orders" in made.rolling, made.roll(all_joined, NOW)) == (False, [])
