"""All children together: configuration, order of the shutdown, deadlines."""

from __future__ import annotations

from dataclasses import replace

from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.events import How, State
from supervisor.core.lifecycle.exits import ExitStatus
from supervisor.core.lifecycle.fleet import Actions, Fleet
from supervisor.core.spec import BrokerSettings, ChildSpec, ConsumerSettings, Policy, TaskSettings
from unit.lifecycle.made import CLEAN, CRASH, NOW, RUNNING

POLICY = Policy(backoff_jitter=0.0)
KAFKA = ConsumerSettings(
    handler="m:h", topics=("t",), group_id="g", auto_offset_reset="latest", bootstrap_servers="embedded"
)


def task(name: str, run: str = "m:f", policy: Policy = POLICY) -> ChildSpec:
    return ChildSpec(name=name, group=name, kind="task", enabled=True, policy=policy, settings=TaskSettings(run=run))


BROKER = ChildSpec(name="broker", group="broker", kind="broker", enabled=True, policy=POLICY, settings=BrokerSettings())
TASK = task("mail")


def consumer(name: str, processes: int) -> ChildSpec:
    settings = replace(KAFKA, processes=processes)
    return ChildSpec(name=name, group="orders", kind="consumer", enabled=True, policy=POLICY, settings=settings)


def fleet(*specs: ChildSpec, running: bool = True) -> Fleet:
    made = Fleet(draw=lambda: 0.0)
    made.apply(specs, lambda spec: spec.enabled, NOW)
    for spec in specs if running else ():
        for event in RUNNING[1:]:
            made.step(spec.name, event, NOW)
    return made


def said(actions: Actions) -> list[str]:
    """ "mail terminate", without the changes of state."""
    return [f"{name} {type(action).__name__.lower()}" for name, action in actions if not isinstance(action, ev.Changed)]


def enabled(spec: ChildSpec) -> bool:
    return spec.enabled


# Configuration.


def test_what_is_configured_and_enabled_is_started_in_the_order_given() -> None:
    made = Fleet(draw=lambda: 0.0)
    actions = made.apply([BROKER, TASK, replace(task("off"), enabled=False)], enabled, NOW)
    assert said(actions) == ["broker spawn", "mail spawn"]
    assert made.children["off"].state is State.STOPPED


def test_the_same_configuration_again_changes_nothing() -> None:
    made = fleet(BROKER, TASK)
    assert made.apply([BROKER, TASK], enabled, NOW) == []


def test_new_settings_drain_and_replace_that_process_only() -> None:
    made = fleet(BROKER, TASK)
    assert said(made.apply([BROKER, task("mail", run="m:g")], enabled, NOW)) == ["mail drain"]
    assert said(made.step("mail", ev.Exited(CLEAN), NOW)) == ["mail spawn"]
    assert made.children["mail"].failures.total == 0


def test_a_new_policy_is_taken_without_a_new_process() -> None:
    made = fleet(TASK)
    assert made.apply([replace(TASK, policy=Policy(heartbeat_timeout=5.0))], enabled, NOW) == []
    assert made.wakes_at() == NOW + 5


def test_a_new_heartbeat_interval_needs_a_new_process() -> None:
    """It was told at birth; judged by a new timeout, the old pace would condemn a healthy process."""
    made = fleet(TASK)
    spec = replace(TASK, policy=Policy(heartbeat_interval=0.2, heartbeat_timeout=2.0))
    assert said(made.apply([spec], enabled, NOW)) == ["mail drain"]


def test_one_member_more_leaves_the_others_alone() -> None:
    made = fleet(consumer("orders:1", 1))
    actions = made.apply([consumer("orders:1", 2), consumer("orders:2", 2)], enabled, NOW)
    assert said(actions) == ["orders:2 spawn"]


def test_what_is_removed_is_drained_and_then_forgotten() -> None:
    made = fleet(BROKER, TASK)
    assert said(made.apply([BROKER], enabled, NOW)) == ["mail drain"]
    assert list(made.children) == ["broker", "mail"]
    made.step("mail", ev.Exited(CLEAN), NOW)
    made.tick(NOW)
    assert list(made.children) == list(made.specs) == ["broker"]
    assert made.step("mail", ev.Tick(), NOW) == []


def test_what_is_removed_and_left_something_is_not_forgotten_before_that_is_gone() -> None:
    made = fleet(TASK)
    made.apply([], enabled, NOW)
    made.step("mail", ev.Exited(CLEAN, leftovers=True), NOW)
    made.tick(NOW)
    assert "mail" in made.children
    made.step("mail", ev.Cleared(), NOW)
    made.tick(NOW)
    assert made.children == {}


def test_what_comes_back_while_it_leaves_is_the_same_child() -> None:
    made = fleet(TASK)
    child = made.children["mail"]
    made.apply([], enabled, NOW)
    made.apply([TASK], enabled, NOW)
    assert said(made.step("mail", ev.Exited(CLEAN), NOW)) == ["mail spawn"]
    assert made.children["mail"] is child


def test_a_toggle_that_changes_nothing_does_nothing_but_a_harsher_one_counts() -> None:
    made = fleet(TASK)
    assert made.want("mail", up=True, why="", now=NOW) == []
    assert said(made.want("mail", up=False, why="off", now=NOW)) == ["mail drain"]
    assert made.want("mail", up=False, why="off", now=NOW) == []
    assert said(made.want("mail", up=False, why="off", how=How.STOP, now=NOW)) == ["mail terminate"]


# Time.


def test_the_fleet_wakes_for_whatever_is_due_first() -> None:
    made = fleet(BROKER, TASK)
    made.step("mail", ev.Pulse(NOW - 1), NOW)
    made.step("broker", ev.Pulse(NOW + 9), NOW)
    assert (made.wakes_at(), made.due(NOW + 19.9), made.due(NOW + 20)) == (NOW + 20, [], ["mail"])
    assert said(made.tick(NOW + 20)) == ["mail dump"]


def test_a_fleet_of_nothing_waits_for_nothing() -> None:
    made = fleet()
    assert (made.wakes_at(), made.tick(NOW), made.done) == (None, [], False)


def test_frozen_time_moves_the_deadlines_of_all_and_of_the_shutdown() -> None:
    made = fleet(TASK)
    made.shift(30.0, NOW + 30)
    assert made.wakes_at() == NOW + 50
    made.stop(NOW + 30, 10.0, "SIGTERM")
    made.shift(5.0, NOW + 35)
    assert made.shutdown is not None
    assert (made.shutdown.last_at, made.shutdown.by, made.children["mail"].deadline) == (NOW + 43, NOW + 45, NOW + 45)


# Shutdown.


def test_the_broker_ends_when_its_clients_are_gone() -> None:
    made = fleet(BROKER, TASK)
    assert said(made.stop(NOW, 10.0, "SIGTERM")) == ["mail terminate"]
    assert said(made.step("mail", ev.Exited(CLEAN), NOW + 1)) == ["broker terminate"]
    assert made.children["broker"].deadline == NOW + 10
    assert not made.done
    made.step("broker", ev.Exited(CLEAN), NOW + 2)
    assert (made.done, made.overdue(NOW + 99), made.had_to_kill) == (True, False, False)


def test_the_broker_ends_when_most_of_the_time_is_over() -> None:
    made = fleet(BROKER, TASK)
    made.stop(NOW, 10.0, "SIGTERM")
    assert (made.wakes_at(), said(made.tick(NOW + 7.9))) == (NOW + 8, [])
    assert said(made.tick(NOW + 8)) == ["broker terminate"]


def test_alone_the_broker_ends_at_once() -> None:
    assert said(fleet(BROKER).stop(NOW, 10.0, "SIGTERM")) == ["broker terminate"]


def test_a_broker_that_crashes_in_the_shutdown_is_not_started_again() -> None:
    made = fleet(BROKER, TASK)
    made.stop(NOW, 10.0, "SIGTERM")
    assert said(made.step("broker", ev.Exited(CRASH), NOW + 1)) == []
    assert made.children["broker"].state is State.STOPPED


def test_a_broker_in_backoff_is_called_off_by_the_shutdown() -> None:
    made = fleet(BROKER, TASK, running=False)
    made.step("broker", ev.SpawnFailed("EAGAIN"), NOW)
    made.stop(NOW, 10.0, "SIGTERM")
    assert made.children["broker"].state is State.STOPPED
    assert said(made.tick(NOW + 5)) == []


def test_nothing_starts_and_nothing_is_reloaded_in_a_shutdown() -> None:
    made = fleet(TASK)
    made.stop(NOW, 10.0, "SIGTERM")
    assert made.want("mail", up=True, why="", now=NOW) == []
    assert made.apply([TASK, task("more")], enabled, NOW) == []
    assert list(made.children) == ["mail"]


def test_at_the_deadline_everything_that_lives_is_killed_and_a_second_later_we_leave() -> None:
    made = fleet(BROKER, TASK)
    made.stop(NOW, 10.0, "SIGTERM")
    made.tick(NOW + 8)
    assert said(made.tick(NOW + 10)) == ["broker said", "broker kill", "mail said", "mail kill"]
    assert (made.had_to_kill, made.overdue(NOW + 10.9), made.overdue(NOW + 11)) == (True, False, True)
    assert [child.name for child in made.living()] == ["broker", "mail"]


def test_a_second_signal_leaves_two_seconds_and_a_third_kills() -> None:
    made = fleet(BROKER, TASK)
    made.stop(NOW, 60.0, "SIGTERM")
    assert said(made.stop(NOW + 1, 60.0, "SIGTERM")) == ["broker terminate"]
    assert [child.deadline for child in made.children.values()] == [NOW + 3, NOW + 3]
    assert said(made.stop(NOW + 2, 60.0, "SIGTERM")) == ["broker kill", "mail kill"]
    assert made.stop(NOW + 2, 60.0, "SIGTERM") == []


def test_a_second_signal_never_lengthens_a_shutdown() -> None:
    made = fleet(TASK)
    made.stop(NOW, 1.0, "SIGTERM")
    made.stop(NOW + 0.5, 1.0, "SIGTERM")
    assert made.wakes_at() == NOW + 1


def test_a_kill_of_last_week_does_not_make_todays_end_unclean() -> None:
    made = fleet(TASK)
    made.step("mail", ev.Restart(how=How.STOP), NOW)
    assert "mail kill" in said(made.tick(NOW + 10))
    made.step("mail", ev.Exited(ExitStatus(signal=9)), NOW + 10)
    assert not made.had_to_kill
    made.stop(NOW + 20, 10.0, "SIGTERM")
    assert (made.done, made.had_to_kill) == (True, False)


def test_leftovers_hold_the_end_back() -> None:
    made = fleet(TASK)
    made.stop(NOW, 10.0, "SIGTERM")
    made.step("mail", ev.Exited(CLEAN, leftovers=True), NOW)
    assert not made.done
    made.step("mail", ev.Cleared(), NOW)
    assert made.done


def test_a_changed_heartbeat_timeout_is_a_changed_deadline_at_once() -> None:
    made = fleet(TASK)
    assert made.wakes_at() == NOW + 20
    shorter = replace(TASK, policy=replace(POLICY, heartbeat_timeout=5.0))
    made.apply([shorter], lambda spec: spec.enabled, NOW)
    assert (made.wakes_at(), made.due(NOW + 4.9), made.due(NOW + 5)) == (NOW + 5, [], ["mail"])


def test_a_forgotten_child_wakes_nobody() -> None:
    made = fleet(TASK)
    made.apply([], lambda spec: spec.enabled, NOW)
    assert made.wakes_at() is not None
    made.step("mail", ev.Exited(CLEAN), NOW)
    made.tick(NOW)
    assert (dict(made.children), made.wakes_at(), made.due(NOW + 1000)) == ({}, None, [])
