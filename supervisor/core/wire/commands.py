"""What a client can ask of the supervisor, as plain values, and what the supervisor must know of each.

control.py makes them of requests; whether one waits, changes something, and how the log names it stands here.
"""

from __future__ import annotations

from dataclasses import dataclass

RUN_KINDS = ("manual", "backfill")
CHAOS = ("kill", "hang", "stop", "leak", "slow")
_RUN = {"manual": "run", "backfill": "backfill"}


@dataclass(frozen=True, slots=True)
class Status:
    pass


@dataclass(frozen=True, slots=True)
class ChildDetail:
    name: str


@dataclass(frozen=True, slots=True)
class Restart:
    name: str
    now: bool


@dataclass(frozen=True, slots=True)
class Enable:
    name: str
    note: str
    now: bool


@dataclass(frozen=True, slots=True)
class Disable:
    name: str
    seconds: float | None  # None: until `enable`
    note: str
    now: bool


@dataclass(frozen=True, slots=True)
class Run:
    name: str
    slot: float | None  # epoch seconds
    wait: bool
    kind: str = "manual"  # one of RUN_KINDS


@dataclass(frozen=True, slots=True)
class Reload:
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Stop:
    now: bool


@dataclass(frozen=True, slots=True)
class Stack:
    """All Python stacks of the process, taken by itself."""

    name: str


@dataclass(frozen=True, slots=True)
class Chaos:
    """Harm the process on purpose, to see it heal."""

    name: str
    how: str  # one of CHAOS


@dataclass(frozen=True, slots=True)
class Hold:
    """A consumer handles nothing more and stays in its group (`on`), or goes on."""

    name: str
    on: bool


Command = Status | ChildDetail | Restart | Enable | Disable | Run | Reload | Stop | Stack | Chaos | Hold


def waits(command: Command) -> bool:
    """Whether the reply may come later than the end of the turn."""
    return isinstance(command, Reload | Enable | Disable | Stack) or (isinstance(command, Run) and command.wait)


def changes(command: Command) -> bool:
    """Whether it does something: such commands are written down with who gave them."""
    return not isinstance(command, Status | ChildDetail | Stack) and not (
        isinstance(command, Reload) and command.dry_run
    )


def describe(command: Command) -> str:
    """The command in one line, for the log."""
    match command:
        case Disable(name, seconds, note, _):
            until = "" if seconds is None else f" for {seconds:g} s"
            return f"disable {name}{until}{_noted(note)}"
        case Enable(name, note, _):
            return f"enable {name}{_noted(note)}"
        case Run(name, slot, _, kind):
            return f"{_RUN[kind]} {name}" + ("" if slot is None else f" for slot {slot:.0f}")
        case Restart(name, _):
            return f"restart {name}"
        case ChildDetail(name):
            return f"show {name}"
        case Stack(name):
            return f"stacks of {name}"
        case Chaos(name, how):
            return f"chaos {name}: {how}"
        case Hold(name, on):
            return f"{'pause' if on else 'resume'} {name}"
        case _:
            return type(command).__name__.lower()


def _noted(note: str) -> str:
    return f" ({note})" if note else ""
