"""How a process ended, in data and in words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from supervisor.core.errors import Exit

_SIGNALS = {
    1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
    9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
    24: "SIGXCPU", 25: "SIGXFSZ", 31: "SIGSYS",
}  # fmt: skip


def signal_name(number: int) -> str:
    return _SIGNALS.get(number, f"signal {number}")


class Cause(StrEnum):
    """Why a process ended. It decides whether the end counts, and what follows."""

    PLANNED = "planned"  # toggle, reload, recycle, restart, shutdown: not counted, next start at once
    CRASH = "crash"
    OOM = "oom"
    HUNG = "hung"
    STUCK = "stuck"
    TIMED_OUT = "timed_out"  # a run beyond its time that only SIGKILL ends: the run failed, not the child
    START_TIMEOUT = "start_timeout"
    MEMORY_HARD = "memory_hard"  # over max_rss_hard: killed at once, as the kernel would
    MEMORY = "memory"  # over max_rss: drained, not counted; backed off when it is over again before it was stable
    PROTOCOL = "protocol"  # what it sent was not frames
    UNAVAILABLE = "unavailable"  # exit 75: a dependency is away; backed off, not counted
    CONFIG = "config"  # exit 78: no retry can mend it
    NOT_FORKED = "not_forked"  # EAGAIN, ENOMEM, EMFILE: the machine's trouble, never the child's

    @property
    def counted(self) -> bool:
        return self in _COUNTED


_COUNTED = {
    *(Cause.CRASH, Cause.OOM, Cause.MEMORY_HARD, Cause.HUNG, Cause.STUCK),
    *(Cause.START_TIMEOUT, Cause.PROTOCOL),
}


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """What the kernel and the process itself said at its end. Exactly one of `code` and `signal` is set."""

    code: int | None = None
    signal: int | None = None
    oom: bool = False
    bye: str = ""  # the process's own last words
    member: str = ""  # its Kafka member id, from the black box

    @property
    def clean(self) -> bool:
        return self.code == 0

    @property
    def recycle(self) -> bool:
        """The process itself asks to be replaced: max_runs reached, the embedded broker came back elsewhere."""
        return self.code == 0 and self.bye.startswith("recycle")

    def words(self) -> str:
        if self.oom:
            return "killed by the kernel: out of memory"
        if self.signal is not None:
            return f"killed by {signal_name(self.signal)}" + (" (not by us)" if self.signal == 9 else "")
        if self.code == 0:
            return self.bye or "exited 0, which nobody asked for"
        return f"exited with {self.code}" + (f": {self.bye}" if self.bye else "")


def cause_of(status: ExitStatus, *, ready: bool = True) -> Cause:
    """Return why a process ended that nobody had asked to. One that never was ready has no work to be replaced in."""
    if status.oom:
        return Cause.OOM
    if status.recycle and ready:
        return Cause.PLANNED
    if status.code == Exit.TEMPFAIL:
        return Cause.UNAVAILABLE
    return Cause.CONFIG if status.code == Exit.CONFIG else Cause.CRASH


@dataclass(frozen=True, slots=True, kw_only=True)
class LastExit:
    """How the child's previous process ended: for `status`, and for the next process to close what it left open."""

    cause: str  # a Cause
    reason: str  # for people
    phase: str = ""
    subject: str = ""
    partition: int = -1
    offset: int = -1
    code: int | None = None
    signal: int | None = None
    at: float = 0.0  # epoch seconds
    ran: float | None = None  # the last slot of the schedule that was started, by this process or one before
