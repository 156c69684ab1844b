"""What must hold: an independent account of one child, kept from the machine's side, that the core is held against.

The numbers (I1 …, L1 …) are those of the invariants: I1 one process at most; I2 none that is not wanted; I3 none
in a shutdown; I5 backoff; I6 no signal to the dead; I7 exits handled at once; L1 hangs found in time; L2 what is
wanted runs again; L4 no loop without time passing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulation.promises import DUMP_WITHIN, EPSILON, LEAST_WAIT, PREPARE_WITHIN, SLACK, Gaps, must
from simulation.world import Process
from supervisor.core.lifecycle.events import How, State
from supervisor.core.lifecycle.exits import ExitStatus
from supervisor.core.spec import Policy


@dataclass(slots=True)
class Account:
    """One child, as it must be."""

    name: str
    policy: Policy
    gaps: Gaps
    policy_at: float = 0.0  # when the policy last changed
    wanted: bool = False
    shutting_down: bool = False
    state: State = State.STOPPED
    # the process in hand, as the parent knows of it
    process: Process | None = None
    asked: bool = False  # it is ended because somebody wants that
    cause: str = ""  # what it was found guilty of
    broken: bool = False
    hurried: bool = False  # KILL was ordered
    killed: bool = False
    start_limit: float | None = None  # HELLO, or then READY, must have come
    ready: float | None = None
    ready_true: float = 0.0  # the same, without the time that the supervisor stood still
    dumped: float | None = None
    drained: bool = False
    drain_limit: float | None = None
    termed: bool = False
    stop_by: float | None = None  # what an order to stop said
    kill_at: float | None = None  # the end of its grace period
    # the next one
    left: bool = False  # something of the last process still lives, as the parent knows
    prepare_by: float | None = None
    start_from: float | None = None
    start_by: float | None = None
    fatal: bool = False
    # the memory of failures
    failures: int = 0
    uncounted: int = 0
    recent: list[float] = field(default_factory=list)
    looping: bool = False

    # What people and the machine do.

    def want(self, how: How, now: float, *, up: bool, by: float | None = None) -> None:
        if up and not self.wanted:
            self.wanted = True
            if self.process is None:
                self._start(now, now)
        elif not up:
            self.wanted = False
            self.start_from = self.start_by = None
            if self.fatal:
                self._forget()
                self.fatal = False
            self.order(how, now, by)

    def restart(self, how: How, now: float) -> None:
        if self.process is not None:
            if self.state is not State.STOPPING or how is not How.DRAIN:
                self.order(how, now)
        elif self.fatal:
            self._forget()
            self._start(now, now)
        elif self.wanted and self.state is State.BACKOFF:
            self._start(now, now)

    def order(self, how: How, now: float, by: float | None = None) -> None:
        """The process is to end: so gently, or so fast."""
        if self.process is None:
            return
        self.asked = True
        self.hurried |= how is How.KILL
        if how is How.STOP or (self.ready is None and self.state is State.STARTING):
            self.stop_by = now + self.policy.grace_period if by is None else by
            if self.kill_at is not None:
                self.kill_at = min(self.kill_at, self.stop_by)

    def outlive(self) -> None:
        """The shutdown began; this one ends last, and is not started again."""
        self.wanted = self.fatal = False
        self.start_from = self.start_by = None

    def look(self, beat: float | None) -> None:
        """It was looked at, and is left running."""
        if self.ready is not None and beat is not None and beat >= self.ready + self.policy.stable_after:
            self._forget()

    def shift(self, gap: float) -> None:
        for at in _MOMENTS:
            if (value := getattr(self, at)) is not None:
                setattr(self, at, value + gap)

    def _start(self, start_from: float, start_by: float) -> None:
        self.start_from, self.start_by, self.fatal = start_from, start_by, False

    def _forget(self) -> None:
        self.failures = self.uncounted = 0
        self.recent.clear()
        self.looping = False

    # What the core does.

    def spawn(self, now: float) -> None:
        must(not self.shutting_down, "I3 a start after the shutdown began")
        must(self.wanted, "I2 a start that is not wanted")
        must(self.process is None and not self.left, "I1 a start beside what still lives")
        must(self.prepare_by is None or now >= self.prepare_by - EPSILON, "a start before the dead member was removed")
        must(self.start_from is not None, "a start out of fatal by itself" if self.fatal else "a start out of turn")
        assert self.start_from is not None
        must(now >= self.start_from - EPSILON, f"I5 a start {self.start_from - now:.3f} s before its backoff is over")
        self.not_late(now)

    def forked(self, process: Process, now: float) -> None:
        self.process = process
        self.cause = ""
        self.asked = self.broken = self.hurried = self.killed = self.drained = self.termed = False
        self.ready = self.dumped = self.drain_limit = self.stop_by = self.kill_at = None
        self.start_from = self.start_by = self.prepare_by = None
        self.start_limit = now + self.policy.hello_timeout

    def fork_failed(self, now: float) -> None:
        self.uncounted += 1
        self._wait(self.uncounted + 1, now, least=LEAST_WAIT)

    def exited(self, status: ExitStatus, now: float, *, left: bool) -> None:
        """The end of a process was told. What must follow?"""
        why = self.cause or ("planned" if self.asked else self._own_end(status))
        self.process, self.left = None, left
        if status.member and status.code != 0:
            self.prepare_by = now + PREPARE_WITHIN
        if not self.wanted:
            return
        if why in ("planned", "timed_out"):
            self._start(now, now)
        elif why == "config":
            self.fatal = True
            self.uncounted += 1
        elif why == "unavailable":
            self.uncounted += 1
            self._wait(self.uncounted + 1, now, least=LEAST_WAIT)
        elif why == "memory":
            self.uncounted += 1
            self._wait(self.uncounted, now, least=0.0)
        else:
            self._failed(now)

    def _own_end(self, status: ExitStatus) -> str:
        if status.code == 0 and status.bye.startswith("recycle") and self.ready is not None:
            return "planned"
        return {75: "unavailable", 78: "config"}.get(status.code or 0, "crash")

    def _failed(self, now: float) -> None:
        self.failures += 1
        self.recent = [*(at for at in self.recent if at > now - self.policy.crash_loop_window), now]
        self.looping = len(self.recent) >= self.policy.crash_loop_count
        if self.looping and self.policy.on_crash_loop == "fatal":
            self.fatal = True
        else:
            self._wait(self.failures, now, least=0.0)

    def _wait(self, count: int, now: float, least: float) -> None:
        full = 0.0 if count < 2 else min(self.policy.backoff_max, self.policy.backoff_base * 2 ** min(count - 2, 60))
        self._start(now + max(least, full * (1 - self.policy.backoff_jitter)), now + max(least, full))

    # Verdicts and signals.

    def condemned(self, reason: str, now: float) -> None:
        """There must be a true fault, and it must be no older than L1 allows."""
        must(self.process is not None, "I6 a dump of a dead process")
        must(not self.termed and not self.killed, "a verdict on a process that is being ended")
        limits = self.limits(now)
        limit = now if self.broken else min(limits.values())
        must(now >= limit - EPSILON, f"a healthy process was condemned: {reason}")
        must(now <= max(limit, self.policy_at) + SLACK, f"L1 a fault was found late: {reason}")
        beats = not self.broken and limits.get("hung", now) > now
        self.cause, self.dumped = "timed_out" if beats and self._runs() else "fault", now

    def _runs(self) -> bool:
        return self.process is not None and self.process.phase == "running"

    def limits(self, now: float) -> dict[str, float]:
        """Until when the process may go on as it does: fault → moment."""
        process = self.process
        if process is None:
            return {}
        if self.ready is None:
            return {"not ready": self.start_limit or 0.0}
        heard = max(self.ready_true, process.last_beat(now) or 0.0)
        limits = {"hung": heard + self.policy.heartbeat_timeout + self.gaps.since(heard)}
        if process.working and process.budget is not None:
            since = max(process.since, self.ready_true)
            limits["stuck"] = since + process.budget + self.gaps.since(since)
        return limits

    def drain(self, now: float) -> None:
        must(self.process is not None, "I6 an order to a dead process")
        must(self.asked or self.cause == "memory", "a healthy process was drained, and nobody asked")
        self.drained = True
        self.drain_limit = None if self.policy.drain_timeout is None else now + self.policy.drain_timeout

    def terminate(self, now: float) -> None:
        must(self.process is not None, "I6 a signal to a dead process")
        must(not self.termed and not self.killed, "a second SIGTERM to the same process")
        if self.stop_by is not None:
            pass
        elif self.dumped is not None:
            must(now >= self.dumped + DUMP_WITHIN - EPSILON, "no time for the stacks to be written")
        else:
            must(self.drained, "a healthy process was stopped, and nobody asked")
            must(self.drain_limit is not None, "a drain without a timeout was cut short")
            must(now >= (self.drain_limit or 0.0) - EPSILON, "a drain was cut short")
        self.termed = True
        self.kill_at = now + self.policy.grace_period if self.stop_by is None else self.stop_by

    def kill(self, now: float) -> None:
        must(self.process is not None, "I6 a signal to a dead process")
        must(not self.killed, "a second SIGKILL to the same process")
        if not self.hurried and self.cause != "memory_hard":
            must(self.termed, "SIGKILL without SIGTERM")
            must(now >= (self.kill_at or 0.0) - EPSILON, "SIGKILL before the grace period was over")
        self.killed = True

    # Nothing may be late.

    def not_late(self, now: float) -> None:
        if self.start_by is not None and not self.left:
            must(now <= max(self.start_by, self.prepare_by or 0.0) + SLACK, "L2 a start is late")

    def unblocked(self, now: float) -> None:
        """What the next start had to wait for is over."""
        if self.start_by is not None:
            self.start_by = max(self.start_by, now)

    def audit(self, now: float) -> None:
        """Whatever waits has not waited too long."""
        if self.process is None:
            self.not_late(now)
        elif self.killed:
            pass
        elif self.termed:
            must(now <= (self.kill_at or 0.0) + SLACK, "no SIGKILL although the grace period is over")
        elif self.dumped is not None:
            must(now <= self.dumped + DUMP_WITHIN + SLACK, "no SIGTERM after the stacks were written")
        else:
            for fault, limit in self.limits(now).items():
                must(now <= max(limit, self.policy_at) + SLACK, f"L1 {fault}, and nobody noticed")
            if self.drained and self.drain_limit is not None:
                must(now <= self.drain_limit + SLACK, "a drain went on beyond its timeout")
            must(self.wanted or self.drained or self.shutting_down, "I2 it is not wanted, and nobody told it")

    def agree(self, child: Any) -> None:
        """The core's picture is the account's picture."""
        state = child.state
        must(child.wanted == self.wanted, "the core is wrong about what is wanted")
        must((state is State.FATAL) == self.fatal, f"{state}, fatal expected: {self.fatal}")
        if self.process is None:
            must(not child.alive, "I7 it is dead, and the core does not know")
            must(state is not State.RUNNING and state is not State.STOPPING, f"I7 {state} without a process")
            must(state is not State.STOPPED or not self.wanted, "stopped although it is wanted")
        else:
            must(child.alive, "the core forgot a process")
            must(state is not State.BACKOFF and state is not State.STOPPED, f"{state} with a process")
            if not self.wanted and not self.shutting_down:
                must(state is State.STOPPING, f"I2 {state} although it is not wanted")
        failures = child.failures
        must(failures.in_row == self.failures, f"{failures.in_row} failures in a row, must be {self.failures}")
        must(failures.looping == self.looping, f"crash loop {failures.looping}, must be {self.looping}")
        wakes_at = child.wakes_at()
        if wakes_at is None:
            must(self._may_wait_for_ever(child), f"{state} {child.phase} waits without an end")
        elif self.process is not None and self.termed and not self.killed:
            must(wakes_at <= (self.kill_at or 0.0) + EPSILON, "its grace period lasts too long")

    def _may_wait_for_ever(self, child: Any) -> bool:
        if self.process is not None:
            return self.killed
        return not self.wanted or self.left or self.fatal or bool(child.to_be_forked)


_MOMENTS = (
    *("start_limit", "ready", "dumped", "drain_limit", "stop_by", "kill_at"),
    *("prepare_by", "start_from", "start_by"),
)
