"""Rules that take more than one step to see."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.child import Child
from supervisor.core.lifecycle.events import How, Said, State
from supervisor.core.lifecycle.exits import Cause, ExitStatus
from supervisor.core.wire.page import Doing
from unit.lifecycle.made import CLEAN, CRASH, FORKED, NOW, RUNNING, child, situation, words

MIB = 1 << 20


def crash(made: Child, now: float, status: ExitStatus = CRASH) -> float:
    """Let a running process crash at `now` and its successor become ready. Returns how long that waited."""
    made.step(ev.Exited(status), now)
    at = now if made.deadline is None else made.deadline
    made.step(ev.Tick(), at)
    for event in FORKED[1:] + RUNNING[2:]:
        made.step(event, at)
    return at - now


def test_restarts_wait_longer_and_longer_up_to_the_cap() -> None:
    made = child(*RUNNING)
    assert [crash(made, NOW + n) for n in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]
    assert made.state is State.RUNNING


def test_a_stable_child_starts_again_at_once() -> None:
    made = child(*RUNNING)
    for n in range(5):
        crash(made, NOW + n)
    ready = made.ready_at or 0.0
    made.step(ev.Pulse(ready + 59), ready + 59)
    assert made.failures.in_row == 5
    made.step(ev.Pulse(ready + 60), ready + 60)
    assert made.failures.in_row == 0
    assert crash(made, ready + 61) == 0


def test_a_silent_child_does_not_become_stable_by_waiting() -> None:
    made = child(*RUNNING, stable_after=5.0)
    crash(made, NOW)
    made.step(ev.Tick(), NOW + 15)  # its last heartbeat is that of READY
    assert made.failures.in_row == 1


def test_time_in_which_the_supervisor_was_frozen_makes_nobody_stable() -> None:
    made = child(*RUNNING)
    crash(made, NOW)
    made.step(ev.Shifted(100.0), NOW + 100)
    made.step(ev.Pulse(NOW + 100), NOW + 100)
    assert made.failures.in_row == 1


def test_a_verdict_stays_the_cause_however_the_process_then_dies() -> None:
    made = child(*RUNNING)
    made.step(ev.Tick(), NOW + 20)
    made.step(ev.Exited(ExitStatus(signal=11)), NOW + 21)  # faulthandler itself can crash a busy process
    assert made.last == (Cause.HUNG, "no heartbeat for 20 s")
    assert made.failures.in_row == 1


def test_a_hung_child_is_dumped_then_terminated_then_killed() -> None:
    made = child(*RUNNING, grace_period=5.0)
    seen = [words(made.step(ev.Tick(), NOW + at)) for at in (20, 20.3, 25.3)]
    assert seen == ["running→stopping dump", "terminate", "said kill"]


def test_a_run_that_is_killed_for_its_time_is_no_failure_and_the_next_process_starts_at_once() -> None:
    made, now = child(*RUNNING), NOW
    for _ in range(4):
        assert words(made.step(ev.Pulse(now + 5, Doing(1, "running", now, 5.0)), now + 5)) == "running→stopping dump"
        made.step(ev.Tick(), now + 6)
        assert words(made.step(ev.Exited(ExitStatus(signal=9)), now + 16)) == "stopping→starting spawn"
        assert made.last == (Cause.TIMED_OUT, "timed out: running for 5 s, 5 s allowed")
        now += 16
        for event in (*FORKED[1:], *RUNNING[2:]):
            made.step(event, now)
    assert (made.failures.in_row, made.failures.any, made.state) == (0, False, State.RUNNING)


def test_an_end_that_was_asked_for_is_no_failure() -> None:
    made = child(*RUNNING, ev.Restart())
    made.step(ev.Exited(ExitStatus(signal=11)), NOW + 1)
    assert made.last == (Cause.PLANNED, "restart")
    assert (made.failures.in_row, made.state, made.to_be_forked) == (0, State.STARTING, True)


def test_a_child_that_hangs_while_it_drains_is_counted() -> None:
    made = child(*RUNNING, ev.Restart())
    made.step(ev.Tick(), NOW + 20)
    made.step(ev.Exited(ExitStatus(signal=9)), NOW + 21)
    assert made.last is not None
    assert made.last[0] is Cause.HUNG
    assert made.failures.in_row == 1


def test_a_drain_is_cut_short_only_when_it_has_a_timeout() -> None:
    patient, hurried = child(*RUNNING), child(*RUNNING, drain_timeout=3.0)
    for made in (patient, hurried):
        made.step(ev.Restart(), NOW)
        made.step(ev.Pulse(NOW + 3), NOW + 3)
    assert (patient.phase.name, hurried.phase.name) == ("DRAINING", "TERMINATING")


def test_toggled_off_and_on_while_it_ends_it_starts_again() -> None:
    made = child(*RUNNING, ev.Want(up=False), ev.Want(up=True))
    assert words(made.step(ev.Exited(CLEAN), NOW)) == "stopping→starting spawn"


def test_the_shutdown_outlived_a_process_that_dies_gets_no_successor() -> None:
    made = child(*RUNNING, ev.Outlive())
    assert made.state is State.RUNNING
    assert words(made.step(ev.Exited(CRASH), NOW)) == "running→stopped"


def test_a_deadline_of_the_shutdown_replaces_the_grace_period_and_only_shortens_it() -> None:
    made = child(*RUNNING, ev.Want(up=False, how=How.STOP, by=NOW + 4))
    assert made.wakes_at() == NOW + 4
    made.step(ev.Want(up=False, how=How.STOP, by=NOW + 2), NOW)
    made.step(ev.Want(up=False, how=How.STOP, by=NOW + 3), NOW)
    assert made.wakes_at() == NOW + 2


def test_memory_over_the_limit_drains_and_is_not_counted() -> None:
    made = child(*RUNNING, max_rss=100 * MIB)
    assert words(made.step(ev.Pulse(NOW, rss=100 * MIB), NOW)) == ""
    assert words(made.step(ev.Pulse(NOW, rss=200 * MIB), NOW)) == "drain running→stopping"
    assert words(made.step(ev.Exited(CLEAN), NOW)) == "stopping→backoff backoff→starting spawn"
    assert made.last == (Cause.MEMORY, "memory 200 MiB, over its limit of 100 MiB")
    assert made.failures.in_row == 0


def test_memory_over_the_hard_limit_is_killed_at_once_and_counted() -> None:
    made = child(*RUNNING, max_rss=100 * MIB, max_rss_hard=300 * MIB)
    assert words(made.step(ev.Pulse(NOW, rss=301 * MIB), NOW)) == "kill running→stopping"
    assert words(made.step(ev.Exited(ExitStatus(signal=9)), NOW)) == "stopping→backoff backoff→starting spawn"
    assert made.last == (Cause.MEMORY_HARD, "memory 301 MiB, over its hard limit of 300 MiB")
    assert made.failures.in_row == 1


def test_a_process_that_is_replaced_for_its_memory_is_killed_when_it_goes_on_growing() -> None:
    made = child(*RUNNING, max_rss=100 * MIB, max_rss_hard=300 * MIB)
    assert words(made.step(ev.Pulse(NOW, rss=200 * MIB), NOW)) == "drain running→stopping"
    assert words(made.step(ev.Pulse(NOW + 1, rss=300 * MIB), NOW + 1)) == ""
    assert words(made.step(ev.Pulse(NOW + 2, rss=400 * MIB), NOW + 2)) == "kill"
    made.step(ev.Exited(ExitStatus(signal=9)), NOW + 2)
    assert (made.last or ("", ""))[0] is Cause.MEMORY_HARD
    assert made.failures.in_row == 1


def test_a_process_that_is_being_ended_already_is_not_killed_for_its_memory() -> None:
    made = child(*RUNNING, ev.Want(up=False, how=How.STOP), max_rss_hard=300 * MIB)
    assert words(made.step(ev.Pulse(NOW, rss=400 * MIB), NOW)) == ""


def test_a_limit_that_is_too_small_does_not_make_a_restart_storm() -> None:
    made = child(*RUNNING, max_rss=100 * MIB)
    waits, now = [], NOW
    for _ in range(5):
        made.step(ev.Pulse(now, rss=200 * MIB), now)
        waits.append(crash(made, now, CLEAN))
        now += waits[-1]
    assert waits == [0, 1, 2, 4, 8]


def test_after_a_refused_fork_the_next_one_is_tried_for_ever_and_never_at_once() -> None:
    made, now, waits = child(ev.Want(up=True)), NOW, []
    for _ in range(8):
        made.step(ev.SpawnFailed("EAGAIN"), now)
        waits.append((made.deadline or 0.0) - now)
        now = made.deadline or 0.0
        made.step(ev.Tick(), now)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    assert (made.failures.in_row, made.to_be_forked) == (0, True)


def test_a_crash_loop_is_said_once_and_held_at_the_cap() -> None:
    made, said = child(*RUNNING, crash_loop_count=3), []
    for n in range(5):
        said += [action.code for action in made.step(ev.Exited(CRASH), NOW + n) if isinstance(action, Said)]
        made.step(ev.Restart(), NOW + n)
        for event in (*FORKED[1:], *RUNNING[2:]):
            made.step(event, NOW + n)
    assert said == ["crash_loop"]
    assert made.state is State.RUNNING


@pytest.mark.parametrize(("policy", "actions", "state"), [
    ({"on_crash_loop": "hold"}, "said running→backoff backoff→starting spawn", State.STARTING),
    ({"on_crash_loop": "fatal"}, "said running→fatal", State.FATAL),
    ({"on_crash_loop": "exit"}, "said escalate running→backoff backoff→starting spawn", State.STARTING),
    ({"critical": True}, "said escalate running→backoff backoff→starting spawn", State.STARTING),
])  # fmt: skip
def test_what_a_crash_loop_leads_to_is_the_policy(policy: dict[str, Any], actions: str, state: State) -> None:
    made = child(*RUNNING, crash_loop_count=1, **policy)
    assert words(made.step(ev.Exited(CRASH), NOW)) == actions
    assert made.state is state


@pytest.mark.parametrize(("critical", "actions"), [(False, "running→fatal"), (True, "running→fatal escalate")])
def test_what_no_retry_can_mend_ends_the_supervisor_when_the_child_is_critical(critical: bool, actions: str) -> None:
    made = child(*RUNNING, critical=critical)
    assert words(made.step(ev.Exited(ExitStatus(code=78, bye="no module named x")), NOW)) == actions
    assert made.state is State.FATAL


def test_a_critical_child_that_is_given_up_ends_the_supervisor_and_says_why() -> None:
    made = child(*RUNNING, crash_loop_count=1, on_crash_loop="fatal", critical=True)
    found = [a.reason for a in made.step(ev.Exited(CRASH), NOW) if isinstance(a, ev.Escalate)]
    assert found[-1] == "c is critical and fatal: crash loop: exited with 1"


def test_a_refused_fork_is_never_fatal() -> None:
    made = child(*RUNNING, crash_loop_count=1)
    made.step(ev.Exited(CRASH), NOW)
    made.policy = child(on_crash_loop="fatal").policy
    made.step(ev.SpawnFailed("EAGAIN"), NOW)
    assert made.state is State.BACKOFF


def test_a_toggle_takes_a_child_out_of_its_crash_loop() -> None:
    made = child(*RUNNING, crash_loop_count=1, on_crash_loop="fatal")
    for event in (ev.Exited(CRASH), ev.Want(up=False), ev.Want(up=True)):
        made.step(event, NOW)
    assert made.state is State.STARTING
    assert not made.failures.looping


def test_a_long_import_that_holds_the_gil_is_not_hung() -> None:
    made = situation("loading")
    made.step(ev.BecameReady(), NOW + 50)
    made.step(ev.Pulse(NOW, Doing(1, "loading", NOW, 60.0)), NOW + 69)
    assert made.state is State.RUNNING
    made.step(ev.Tick(), NOW + 70)
    assert made.last is None
    assert made.verdict == (Cause.HUNG, "no heartbeat for 20 s")


def test_leftovers_hold_the_next_start_back_also_after_the_backoff() -> None:
    made = child(*RUNNING)
    crash(made, NOW)
    made.step(ev.Exited(CRASH, leftovers=True), NOW)
    assert (made.state, made.deadline) == (State.BACKOFF, NOW + 1)
    assert words(made.step(ev.Tick(), NOW + 1)) == "backoff→starting"
    assert (made.wakes_at(), made.settled) == (None, False)
    assert words(made.step(ev.Cleared(), NOW + 9)) == "spawn"


def test_the_dead_member_is_removed_while_what_was_left_dies() -> None:
    made = child(*RUNNING, ev.Exited(ExitStatus(signal=9, member="m"), leftovers=True))
    assert words(made.step(ev.Tick(), NOW + 2.5)) == "said"
    assert words(made.step(ev.Cleared(), NOW + 3)) == "spawn"


def test_a_member_that_left_by_itself_is_not_removed() -> None:
    made = child(*RUNNING, ev.Restart())
    assert words(made.step(ev.Exited(ExitStatus(code=0, member="m")), NOW)) == "stopping→starting spawn"


def test_frozen_time_moves_every_deadline() -> None:
    made = child(*RUNNING, ev.Exited(ExitStatus(code=1, member="m")))
    booting, backoff = situation("booting"), situation("backoff")
    for one in (made, booting, backoff):
        one.step(ev.Shifted(30.0), NOW + 30)
    assert [one.wakes_at() for one in (made, booting, backoff)] == [NOW + 32.5, NOW + 45, NOW + 31]


def test_what_cannot_be_killed_is_said_and_waits_without_a_deadline() -> None:
    made = situation("killing")
    said = made.step(ev.Tick(), NOW + 10)
    assert said == [Said("cannot be killed: 7 is in the kernel's hands", "error", "unkillable")]
    assert (made.wakes_at(), made.alive, made.settled) == (None, True, False)


def test_each_process_has_a_number() -> None:
    made = child(*RUNNING)
    crash(made, NOW)
    assert made.generation == 2


def test_the_state_keeps_the_time_since_when_and_the_reason() -> None:
    made = situation("loading")
    made.step(ev.BecameReady(), NOW + 7)
    assert (made.since, made.reason) == (NOW + 7, "")
    made.step(ev.Want(up=False, why="disabled by ann"), NOW + 9)
    assert (made.since, made.reason) == (NOW + 9, "disabled by ann")


def test_of_a_child_at_rest_only_the_last_heartbeat_counts() -> None:
    """So the others need not be told: not while it starts or ends, has failed lately, or has a limit of memory."""
    told, spared = situation("running"), situation("running")
    for second in range(1, 19):
        assert told.at_rest
        assert told.step(ev.Pulse(NOW + second), NOW + second) == []
    spared.step(ev.Pulse(NOW + 18), NOW + 19.9)
    assert told.wakes_at() == spared.wakes_at() == NOW + 38
    for name in ("stopped", "booting", "loading", "draining", "terminating", "backoff", "fatal"):
        assert not situation(name).at_rest
    assert not situation("running", max_rss=MIB).at_rest
    assert not situation("running", max_rss_hard=MIB).at_rest
    failed = situation("running")
    crash(failed, NOW)
    assert failed.state is State.RUNNING
    assert not failed.at_rest
