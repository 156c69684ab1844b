"""The state machine of one child: `Child.step(event, now)` returns the actions to take.

Everything that changes a child's state stands in this file, one method per state, each with that state's
whole answer. The file knows no clock, no process and no descriptor; it is told what happened and says what
is to be done. `wanted` (the goal) is kept apart from `state` (what is), and READY apart from being alive.

Rules held here, whatever comes in whatever order:
  one process at most: Spawn only when the last one was reaped and nothing of it is left;
  no start that is not wanted; no wait without an end, save for a process that the kernel cannot kill;
  an end that was asked for is no failure; a verdict stays the cause, however the process then dies.
"""

from __future__ import annotations

from collections.abc import Callable

from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.body import DUMP_WITHIN, PREPARE_WITHIN, Body, Phase
from supervisor.core.lifecycle.events import Action, Event, How, Said, State
from supervisor.core.lifecycle.exits import Cause, ExitStatus, cause_of
from supervisor.core.lifecycle.liveness import Liveness


class Child(Body):
    """One child: its rules."""

    def step(self, event: Event, now: float) -> list[Action]:
        self._out = []
        match event:
            case ev.Shifted(gap):
                self._shift(gap, now)
            case ev.Outlive():
                self.wanted = False
                if not self.alive:
                    self._call_off("shutdown", now)
            case ev.Cleared():
                self.leftovers = False
                if self.phase is Phase.CLEARING:
                    self._start(now)
            case ev.Prepared(outcome):
                self._prepared(outcome, now)
            case _:
                if isinstance(event, ev.Want):
                    self.wanted = event.up
                if isinstance(event, ev.Tick):
                    self._give_up_preparation(now)
                _ROWS[self.state](self, event, now)
        return self._out

    # One method per state.

    def _stopped(self, event: Event, now: float) -> None:
        match event:
            case ev.Want(up=True):
                self._start(now)

    def _fatal(self, event: Event, now: float) -> None:
        match event:
            case ev.Restart() if self.wanted:
                self.failures.forget()
                self._start(now)
            case ev.Want(up=False, why=why):
                self.failures.forget()
                self._go(State.STOPPED, now, why)

    def _backoff(self, event: Event, now: float) -> None:
        match event:
            case ev.Want(up=False, why=why):
                self._call_off(why, now)
            case ev.Restart():
                self._start(now)
            case ev.Tick() if self._due(now):
                self._start(now)

    def _starting(self, event: Event, now: float) -> None:
        if self.alive:
            self._coming_up(event, now)
            return
        match event:
            case ev.Spawned(pid):
                self.pid = pid
                self.liveness = Liveness(beat_at=now)
                self._enter(Phase.BOOTING, now + self.policy.hello_timeout)
            case ev.SpawnFailed(reason):
                self._back_off(Cause.NOT_FORKED, reason, now)
            case ev.Want(up=False, why=why):
                self._call_off(why, now)

    def _coming_up(self, event: Event, now: float) -> None:
        match event:
            case ev.Greeted() if self.phase is Phase.BOOTING:
                self._enter(Phase.LOADING, now + self.policy.ready_timeout)
            case ev.BecameReady():
                self.ready_at = now
                self.liveness = Liveness(beat_at=now, ready_at=now)
                self._enter(Phase.NONE)
                self._go(State.RUNNING, now, "")
            case ev.Pulse():
                self._hear(event)
            case ev.Exited():
                self._over(event, now)
            case ev.Want(up=False, how=how, by=by, why=why):
                self._end(max(how, How.STOP), by, why, now)  # it is loading: there is nothing in hand to finish
            case ev.Restart(how, why):
                self._end(max(how, How.STOP), None, why, now)
            case ev.Broken(reason):
                self._condemn(Cause.PROTOCOL, reason, now)
            case ev.Tick() if self._due(now):
                self._start_is_late(now)

    def _running(self, event: Event, now: float) -> None:
        match event:
            case ev.Exited():
                self._over(event, now)
            case ev.Want(up=False, how=how, by=by, why=why):
                self._end(how, by, why, now)
            case ev.Restart(how, why):
                self._end(how, None, why, now)
            case ev.Broken(reason):
                self._condemn(Cause.PROTOCOL, reason, now)
            case ev.Pulse() | ev.Tick():
                self._hear(event)
                if not self._judge(now):
                    self._stable_or_too_big(now)

    def _stopping(self, event: Event, now: float) -> None:
        match event:
            case ev.Exited():
                self._over(event, now)
            case ev.Want(up=False, how=how, by=by, why=why):
                self._end(how, by, why, now)
            case ev.Restart(how, why) if how is not How.DRAIN:
                self._end(how, None, why, now)
            case ev.Broken(reason) if self.phase is Phase.DRAINING:
                self._condemn(Cause.PROTOCOL, reason, now)
            case ev.Pulse() | ev.Tick():
                self._hear(event)
                if self.phase is not Phase.DRAINING or not self._judge(now):
                    self._harsher_when_due(now)

    # Starting.

    def _start(self, now: float) -> None:
        """Start as far as it is allowed: nothing left of the last process, its Kafka member gone, then fork."""
        self.ready_at = None
        if self.leftovers:
            self._enter(Phase.CLEARING)
            self._go(State.STARTING, now, "waits for what its last process left behind to die")
        elif self._prepare_by is not None:
            self._enter(Phase.PREPARING)
            self._go(State.STARTING, now, "waits for its dead member to leave the group")
        else:
            self.generation += 1
            self.verdict = None
            self._enter(Phase.FORKING)
            self._go(State.STARTING, now, "")
            self._out.append(ev.Spawn())

    def _start_is_late(self, now: float) -> None:
        booting = self.phase is Phase.BOOTING
        limit = self.policy.hello_timeout if booting else self.policy.ready_timeout
        what = "did not come to life" if booting else "did not become ready"
        self._condemn(Cause.START_TIMEOUT, f"{what} within {limit:g} s", now)

    # Looking at a living process.

    def _judge(self, now: float) -> bool:
        found = self.liveness.verdict(self.policy, now) if self.liveness else None
        if found and found[0] is Cause.MEMORY_HARD:  # the kernel is next, and may take another: no time for stacks
            self.verdict = found
            self._kill(now)
            self._go(State.STOPPING, now, found[1], level="warning")
        elif found:
            self._condemn(*found, now)
        return found is not None

    def _stable_or_too_big(self, now: float) -> None:
        life, since = self.liveness, self.ready_at or 0.0
        if self.failures.any and life and life.beat_at >= since + self.policy.stable_after:
            self.failures.forget()
        if life and life.exceeds(self.policy.max_rss):
            reason = life.too_big(self.policy.max_rss, "limit")
            self.verdict = Cause.MEMORY, reason
            self._end(How.DRAIN, None, reason, now)

    # Ending a living process.

    def _condemn(self, cause: Cause, reason: str, now: float) -> None:
        """A verdict: evidence first, then TERM, then KILL."""
        self.verdict = cause, reason
        self._enter(Phase.DUMPING, now + DUMP_WITHIN)
        self._go(State.STOPPING, now, reason, level="warning")
        self._out.append(ev.Dump())

    def _end(self, how: How, by: float | None, why: str, now: float) -> None:
        """Bring the process to its end, never more gently than it is being ended already."""
        if how is How.KILL:
            self._kill(now)
        elif how is How.STOP:
            self._terminate(now + self.policy.grace_period if by is None else by)
        elif self.state is State.RUNNING:
            limit = self.policy.drain_timeout
            self._enter(Phase.DRAINING, None if limit is None else now + limit)
            self._out.append(ev.Drain())
        self._go(State.STOPPING, now, why)

    def _harsher_when_due(self, now: float) -> None:
        if not self._due(now):
            return
        if self.phase is Phase.TERMINATING:
            self._out.append(Said(f"still there after its grace period: sending SIGKILL to {self.pid}"))
            self._kill(now)
        elif self.phase is Phase.KILLING:
            self.deadline = None
            self.reason = f"cannot be killed: {self.pid} is in the kernel's hands"
            self._out.append(Said(self.reason, "error", "unkillable"))
        else:
            self._terminate(now + self.policy.grace_period)

    # After a process.

    def _over(self, event: ev.Exited, now: float) -> None:
        """The process is reaped. An end that was under way has its own reason: a verdict, or that it was wanted."""
        asked = self.state is State.STOPPING
        by_itself = cause_of(event.status, ready=self.ready_at is not None), event.status.words()
        cause, reason = self.verdict or ((Cause.PLANNED, self.reason) if asked else by_itself)
        self._gone(event.status, event.leftovers, now)
        self._follow(cause, reason, now)

    def _gone(self, status: ExitStatus, leftovers: bool, now: float) -> None:
        self.pid = self.liveness = None
        self.leftovers = leftovers
        self._enter(Phase.NONE)
        if status.member and not status.clean:
            self._prepare_by = now + PREPARE_WITHIN
            self._out.append(ev.Prepare(status.member))

    def _follow(self, cause: Cause, reason: str, now: float) -> None:
        """Decide what comes after an end: the cause decides whether it counts."""
        self.last = cause, reason
        if not self.wanted:
            self._go(State.STOPPED, now, reason)
        elif cause in (Cause.PLANNED, Cause.TIMED_OUT):
            if self.state is not State.STOPPING:
                self._out.append(Said(reason, "info", "recycled"))  # its own wish: nothing else has told of it
            self._start(now)
        elif cause is Cause.CONFIG:
            self.failures.add(cause, reason, self.policy, now)
            self._give_up(reason, now)
        else:
            self._back_off(cause, reason, now)

    def _back_off(self, cause: Cause, reason: str, now: float) -> None:
        self.last = cause, reason
        if self.failures.add(cause, reason, self.policy, now):
            self._say_crash_loop()
        if cause.counted and self.failures.looping and self.policy.on_crash_loop == "fatal":
            self._give_up(f"crash loop: {reason}", now)
            return
        wait = self.failures.wait(cause, self.policy, self._draw())
        self._enter(Phase.NONE, now + wait)
        self._go(State.BACKOFF, now, reason, level="warning")
        if not wait:
            self._start(now)

    def _give_up(self, reason: str, now: float) -> None:
        self._enter(Phase.NONE)
        self._go(State.FATAL, now, reason, level="error")
        if self.policy.critical:
            self._out.append(ev.Escalate(f"{self.name} is critical and fatal: {reason}"))

    def _say_crash_loop(self) -> None:
        count, window = len(self.failures.recent), self.policy.crash_loop_window
        text = f"crash loop: {count} failures within {window:g} s, the last one: {self.failures.reason}"
        self._out.append(Said(text, "error", "crash_loop"))
        if self.policy.on_crash_loop == "exit" or self.policy.critical:
            self._out.append(ev.Escalate(f"{self.name}: {text}"))

    # Preparation: what is to be done between an unclean death and the next start.

    def _prepared(self, outcome: str, now: float) -> None:
        self._prepare_by = None
        if outcome:
            self._out.append(Said(outcome, "info", "prepared"))
        if self.phase is Phase.PREPARING:
            self._start(now)

    def _give_up_preparation(self, now: float) -> None:
        if self._prepare_by is not None and now >= self._prepare_by:
            self._prepared("its dead member could not be removed from the group in time", now)


_ROWS: dict[State, Callable[[Child, Event, float], None]] = {
    State.STOPPED: Child._stopped,
    State.STARTING: Child._starting,
    State.RUNNING: Child._running,
    State.STOPPING: Child._stopping,
    State.BACKOFF: Child._backoff,
    State.FATAL: Child._fatal,
}
