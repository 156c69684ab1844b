"""Children brought into every situation by the events that lead there, and short words for what a step returned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.child import Child
from supervisor.core.lifecycle.events import Action, Event, How
from supervisor.core.lifecycle.exits import ExitStatus
from supervisor.core.spec import Policy
from supervisor.core.wire.page import Doing

NOW = 100.0
POLICY = Policy(backoff_jitter=0.0)
CRASH = ExitStatus(code=1)
CLEAN = ExitStatus(code=0)


def child(*events: Event, now: float = NOW, **policy: Any) -> Child:
    made = Child("c", Policy(**{"backoff_jitter": 0.0, **policy}), draw=lambda: 0.0)
    for event in events:
        made.step(event, now)
    return made


FORKED = (ev.Want(up=True), ev.Spawned(7))
RUNNING = (*FORKED, ev.Greeted(), ev.BecameReady())

SITUATIONS: dict[str, tuple[Event, ...]] = {
    "stopped": (),
    "clearing": (*RUNNING, ev.Exited(CRASH, leftovers=True)),
    "preparing": (*RUNNING, ev.Exited(ExitStatus(code=1, member="m-1"))),
    "forking": (ev.Want(up=True),),
    "booting": FORKED,
    "loading": (*FORKED, ev.Greeted()),
    "running": RUNNING,
    "draining": (*RUNNING, ev.Want(up=False)),
    "dumping": (*RUNNING, ev.Broken("no frame")),
    "terminating": (*RUNNING, ev.Want(up=False, how=How.STOP)),
    "killing": (*RUNNING, ev.Want(up=False, how=How.KILL)),
    "backoff": (ev.Want(up=True), ev.SpawnFailed("fork: try again")),
    "fatal": (*RUNNING, ev.Exited(ExitStatus(code=78, bye="no module named x"))),
}

EVENTS: tuple[Event, ...] = (
    ev.Want(up=True),
    ev.Want(up=False),
    ev.Want(up=False, how=How.STOP),
    ev.Want(up=False, how=How.STOP, by=NOW + 2),
    ev.Want(up=False, how=How.KILL),
    ev.Outlive(),
    ev.Restart(),
    ev.Restart(how=How.STOP),
    ev.Spawned(8),
    ev.SpawnFailed("fork: try again"),
    ev.Prepared("removed"),
    ev.Prepared(""),
    ev.Greeted(),
    ev.BecameReady(),
    ev.Pulse(),
    ev.Pulse(beat_at=NOW, doing=Doing(1, "running", NOW, 5.0), rss=1),
    ev.Broken("no frame"),
    ev.Exited(CRASH),
    ev.Exited(CLEAN),
    ev.Exited(ExitStatus(code=75)),
    ev.Exited(ExitStatus(code=78)),
    ev.Exited(ExitStatus(signal=9, member="m-1"), leftovers=True),
    ev.Cleared(),
    ev.Tick(),
    ev.Shifted(30.0),
)


def situation(name: str, **policy: Any) -> Child:
    return child(*SITUATIONS[name], **policy)


def words(actions: list[Action]) -> str:
    """ "stopped→starting spawn" """
    return " ".join(map(_word, actions))


def _word(action: Action) -> str:
    if isinstance(action, ev.Changed):
        return f"{action.old}→{action.new}"
    return type(action).__name__.lower()


def draws(*values: float) -> Callable[[], float]:
    return iter(values).__next__
