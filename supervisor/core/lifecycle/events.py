"""What happens to a child (events, the input of a step) and what is to be done about it (actions, the output)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from supervisor.core.lifecycle.exits import ExitStatus
from supervisor.core.wire.page import Doing


class State(StrEnum):
    STOPPED = "stopped"  # no process, none wanted
    STARTING = "starting"  # until the child itself says READY
    RUNNING = "running"
    STOPPING = "stopping"
    BACKOFF = "backoff"  # no process; the next start is at `deadline`
    FATAL = "fatal"  # no process; only an operator, new configuration or new code starts it


class How(IntEnum):
    """How a living process is brought to its end. A harsher one overtakes a gentler one."""

    DRAIN = 1  # no new slot or record; what is in hand finishes within its own timeout
    STOP = 2  # SIGTERM, the grace period, SIGKILL
    KILL = 3


# --- events ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Want:
    """The goal changed: the toggle, or a shutdown. `by` (monotonic) replaces the child's own grace period."""

    up: bool
    how: How = How.DRAIN
    by: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Outlive:
    """The shutdown began. This child ends after the others: its process goes on, but it gets no new one."""


@dataclass(frozen=True, slots=True)
class Restart:
    """An operator, new settings or new code: replace the process, or try again now."""

    how: How = How.DRAIN
    why: str = "restart"


@dataclass(frozen=True, slots=True)
class Spawned:
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    reason: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was to be done after an unclean death and before the next start is done, or was given up."""

    outcome: str


@dataclass(frozen=True, slots=True)
class Greeted:
    """HELLO came: the fork and the boot order went well."""


@dataclass(frozen=True, slots=True)
class BecameReady:
    pass


@dataclass(frozen=True, slots=True)
class Pulse:
    """A look at the child: when its last heartbeat came, what the black box says, how big it is."""

    beat_at: float | None = None
    doing: Doing | None = None
    rss: int = 0


@dataclass(frozen=True, slots=True)
class Broken:
    """Its messages are no frames any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The process is dead and reaped. `leftovers`: processes it left behind still live."""

    status: ExitStatus
    leftovers: bool = False


@dataclass(frozen=True, slots=True)
class Cleared:
    """Nothing of an earlier process is left."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed; deadlines may be due."""


@dataclass(frozen=True, slots=True)
class Shifted:
    """The supervisor itself was frozen for `gap` seconds: every deadline moves, nobody is judged for it."""

    gap: float


Event = (
    Want | Outlive | Restart | Spawned | SpawnFailed | Prepared | Greeted | BecameReady
    | Pulse | Broken | Exited | Cleared | Tick | Shifted
)  # fmt: skip


# --- actions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spawn:
    """Fork a process. Answered by Spawned or SpawnFailed."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """Remove the dead member from its Kafka group. Answered by Prepared; not waited for beyond a deadline."""

    member: str


@dataclass(frozen=True, slots=True)
class Drain:
    """Order the process to take nothing new, finish and exit."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """SIGTERM, and SIGCONT so that a stopped process can receive it."""


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to the process group."""


@dataclass(frozen=True, slots=True)
class Dump:
    """Have all Python stacks written before the process is ended."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The state changed. Every transition is logged here and nowhere else."""

    old: State
    new: State
    reason: str
    level: str = "info"


@dataclass(frozen=True, slots=True)
class Said:
    """Something worth a line without a change of state."""

    text: str
    level: str = "warning"
    code: str = ""


@dataclass(frozen=True, slots=True)
class Escalate:
    """This child's trouble ends the supervisor, so that whoever watches it can act."""

    reason: str


Action = Spawn | Prepare | Drain | Terminate | Kill | Dump | Changed | Said | Escalate
