"""What is known of one child, and the small motions its rules (child.py) are written with. No decision is made here."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from supervisor.core.lifecycle.events import Action, Changed, Event, Kill, Pulse, State, Terminate
from supervisor.core.lifecycle.exits import Cause
from supervisor.core.lifecycle.failures import Failures
from supervisor.core.lifecycle.liveness import Liveness
from supervisor.core.spec import Policy

PREPARE_WITHIN = 2.5  # eviction has 2 s of its own; a group's trouble must not keep a child down
DUMP_WITHIN = 0.3  # faulthandler writes all stacks in milliseconds, unless the machine is overloaded
KILL_WITHIN = 10.0  # SIGKILL works at once, or the process is in the kernel's hands (state D)


class Phase(Enum):
    """Where in STARTING or STOPPING a child is."""

    NONE = auto()
    CLEARING = auto()  # waits for what an earlier process left behind to die
    PREPARING = auto()  # waits for Prepared
    FORKING = auto()  # Spawn was returned
    BOOTING = auto()  # forked; no HELLO yet
    LOADING = auto()  # HELLO came; no READY yet
    DRAINING = auto()
    DUMPING = auto()
    TERMINATING = auto()
    KILLING = auto()


class Body:
    """Every attribute is for reading; only Child.step changes them."""

    def __init__(self, name: str, policy: Policy, draw: Callable[[], float]) -> None:
        self.name = name
        self.policy = policy
        self.state = State.STOPPED
        self.phase = Phase.NONE
        self.since = 0.0  # of the state, monotonic
        self.reason = ""
        self.wanted = False
        self.pid: int | None = None
        self.generation = 0  # numbers the processes
        self.deadline: float | None = None  # of the phase, or of the backoff
        self.ready_at: float | None = None
        self.leftovers = False
        self.liveness: Liveness | None = None
        self.failures = Failures()
        self.verdict: tuple[Cause, str] | None = None  # what the process is being ended for, when it is at fault
        self.last: tuple[Cause, str] | None = None  # why the last process ended
        self._draw = draw
        self._prepare_by: float | None = None
        self._out: list[Action] = []

    @property
    def alive(self) -> bool:
        return self.pid is not None

    @property
    def to_be_forked(self) -> bool:
        """Spawn still stands. A driver that forks last in its turn asks again."""
        return self.phase is Phase.FORKING and not self.alive

    @property
    def settled(self) -> bool:
        """Nothing of it lives and nothing is about to."""
        return self.state in (State.STOPPED, State.FATAL) and not self.leftovers

    @property
    def at_rest(self) -> bool:
        """One more heartbeat changes nothing but the moment at which it would be hung."""
        limited = self.policy.max_rss is not None or self.policy.max_rss_hard is not None
        return self.state is State.RUNNING and not self.failures.any and not limited

    def wakes_at(self) -> float | None:
        """The next moment at which Tick has something to do."""
        return min((at for at in (self._state_deadline(), self._prepare_by) if at is not None), default=None)

    def _state_deadline(self) -> float | None:
        if self.liveness is None or not self._judged:
            return self.deadline
        judged = self.liveness.deadline(self.policy)
        return judged if self.deadline is None else min(judged, self.deadline)

    @property
    def _judged(self) -> bool:
        """A process at work, or finishing its work, must live and get on; one that loads or ends has a deadline."""
        return self.state is State.RUNNING or self.phase is Phase.DRAINING

    def _go(self, state: State, now: float, reason: str, level: str = "info") -> None:
        if state is not self.state:
            self._out.append(Changed(self.state, state, reason, level))
            self.state, self.since = state, now
        self.reason = reason

    def _enter(self, phase: Phase, deadline: float | None = None) -> None:
        self.phase, self.deadline = phase, deadline

    def _call_off(self, why: str, now: float) -> None:
        self._enter(Phase.NONE)
        self._go(State.STOPPED, now, why)

    def _terminate(self, by: float) -> None:
        if self.phase is Phase.TERMINATING:
            self.deadline = by if self.deadline is None else min(self.deadline, by)
        elif self.phase is not Phase.KILLING:
            self._enter(Phase.TERMINATING, by)
            self._out.append(Terminate())

    def _kill(self, now: float) -> None:
        if self.phase is not Phase.KILLING:
            self._enter(Phase.KILLING, now + KILL_WITHIN)
            self._out.append(Kill())

    def _hear(self, event: Event) -> None:
        if isinstance(event, Pulse) and self.liveness is not None:
            self.liveness.heard(event)

    def _due(self, now: float) -> bool:
        return self.deadline is not None and now >= self.deadline

    def _shift(self, gap: float, now: float) -> None:
        if self.deadline is not None:
            self.deadline += gap
        if self._prepare_by is not None:
            self._prepare_by += gap
        if self.ready_at is not None:
            self.ready_at += gap  # frozen time makes nobody stable
        if self.liveness is not None:
            self.liveness.shift(gap, now)
