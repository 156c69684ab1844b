"""A table per state: what happens, when, what it becomes, what is done about it."""

from __future__ import annotations

import pytest

from supervisor.core.lifecycle import events as ev
from supervisor.core.lifecycle.events import Event, How
from supervisor.core.lifecycle.exits import ExitStatus
from supervisor.core.wire.page import Doing
from unit.lifecycle.made import CLEAN, CRASH, NOW, situation, words

UP, DOWN = ev.Want(up=True), ev.Want(up=False)
STOP, KILL = ev.Want(up=False, how=How.STOP), ev.Want(up=False, how=How.KILL)
NOTHING = ""
Row = tuple[Event, float, str, str, str]  # event, seconds later, state, phase, actions

TABLES: dict[str, list[Row]] = {
    "stopped": [
        (UP, 0, "starting", "FORKING", "stopped→starting spawn"),
        (DOWN, 0, "stopped", "NONE", NOTHING),
        (ev.Restart(), 0, "stopped", "NONE", NOTHING),
        (ev.Outlive(), 0, "stopped", "NONE", NOTHING),
        (ev.Tick(), 1e6, "stopped", "NONE", NOTHING),
        (ev.Exited(CRASH), 0, "stopped", "NONE", NOTHING),
    ],
    "clearing": [
        (ev.Cleared(), 0, "starting", "FORKING", "spawn"),
        (DOWN, 0, "stopped", "NONE", "starting→stopped"),
        (ev.Outlive(), 0, "stopped", "NONE", "starting→stopped"),
        (ev.Tick(), 1e6, "starting", "CLEARING", NOTHING),
        (ev.Restart(), 0, "starting", "CLEARING", NOTHING),
    ],
    "preparing": [
        (ev.Prepared("removed"), 1, "starting", "FORKING", "said spawn"),
        (ev.Prepared(""), 1, "starting", "FORKING", "spawn"),
        (ev.Tick(), 2.4, "starting", "PREPARING", NOTHING),
        (ev.Tick(), 2.5, "starting", "FORKING", "said spawn"),
        (DOWN, 0, "stopped", "NONE", "starting→stopped"),
    ],
    "forking": [
        (ev.Spawned(7), 0, "starting", "BOOTING", NOTHING),
        (ev.SpawnFailed("EAGAIN"), 0, "backoff", "NONE", "starting→backoff"),
        (DOWN, 0, "stopped", "NONE", "starting→stopped"),
        (ev.Outlive(), 0, "stopped", "NONE", "starting→stopped"),
        (ev.Tick(), 60, "starting", "FORKING", NOTHING),
    ],
    "booting": [
        (ev.Greeted(), 1, "starting", "LOADING", NOTHING),
        (ev.BecameReady(), 1, "running", "NONE", "starting→running"),
        (ev.Tick(), 14.9, "starting", "BOOTING", NOTHING),
        (ev.Tick(), 15, "stopping", "DUMPING", "starting→stopping dump"),
        (ev.Exited(CRASH), 0, "starting", "FORKING", "starting→backoff backoff→starting spawn"),
        (DOWN, 0, "stopping", "TERMINATING", "terminate starting→stopping"),
        (ev.Restart(), 0, "stopping", "TERMINATING", "terminate starting→stopping"),
    ],
    "loading": [
        (ev.Greeted(), 1, "starting", "LOADING", NOTHING),
        (ev.Pulse(NOW + 1), 1, "starting", "LOADING", NOTHING),
        (ev.BecameReady(), 59, "running", "NONE", "starting→running"),
        (ev.Tick(), 59.9, "starting", "LOADING", NOTHING),
        (ev.Tick(), 60, "stopping", "DUMPING", "starting→stopping dump"),
        (ev.Broken("no frame"), 1, "stopping", "DUMPING", "starting→stopping dump"),
        (KILL, 0, "stopping", "KILLING", "kill starting→stopping"),
        (ev.Exited(ExitStatus(code=75)), 0, "backoff", "NONE", "starting→backoff"),
        (ev.Exited(ExitStatus(code=78)), 0, "fatal", "NONE", "starting→fatal"),
        (ev.Exited(ExitStatus(code=0, bye="recycle")), 0, "starting", "FORKING",
         "starting→backoff backoff→starting spawn"),
    ],
    "running": [
        (DOWN, 0, "stopping", "DRAINING", "drain running→stopping"),
        (STOP, 0, "stopping", "TERMINATING", "terminate running→stopping"),
        (KILL, 0, "stopping", "KILLING", "kill running→stopping"),
        (ev.Outlive(), 0, "running", "NONE", NOTHING),
        (ev.Restart(), 0, "stopping", "DRAINING", "drain running→stopping"),
        (ev.Restart(how=How.STOP), 0, "stopping", "TERMINATING", "terminate running→stopping"),
        (ev.Broken("no frame"), 0, "stopping", "DUMPING", "running→stopping dump"),
        (ev.Tick(), 19.9, "running", "NONE", NOTHING),
        (ev.Tick(), 20, "stopping", "DUMPING", "running→stopping dump"),
        (ev.Pulse(NOW + 20), 20, "running", "NONE", NOTHING),
        (ev.Pulse(NOW + 5, Doing(1, "running", NOW, 5.0)), 5, "stopping", "DUMPING", "running→stopping dump"),
        (ev.Exited(CRASH), 0, "starting", "FORKING", "running→backoff backoff→starting spawn"),
        (ev.Exited(CLEAN), 0, "starting", "FORKING", "running→backoff backoff→starting spawn"),
        (ev.Exited(ExitStatus(code=0, bye="recycle: max_runs")), 0, "starting", "FORKING",
         "said running→starting spawn"),
        (ev.Exited(ExitStatus(signal=9, oom=True, member="m")), 0, "starting", "PREPARING",
         "prepare running→backoff backoff→starting"),
        (ev.Greeted(), 0, "running", "NONE", NOTHING),
    ],
    "draining": [
        (ev.Exited(CLEAN), 3, "stopped", "NONE", "stopping→stopped"),
        (ev.Tick(), 20, "stopping", "DUMPING", "dump"),
        (ev.Broken("no frame"), 0, "stopping", "DUMPING", "dump"),
        (DOWN, 0, "stopping", "DRAINING", NOTHING),
        (STOP, 0, "stopping", "TERMINATING", "terminate"),
        (KILL, 0, "stopping", "KILLING", "kill"),
        (UP, 0, "stopping", "DRAINING", NOTHING),
        (ev.Restart(), 0, "stopping", "DRAINING", NOTHING),
        (ev.Restart(how=How.STOP), 0, "stopping", "TERMINATING", "terminate"),
    ],
    "dumping": [
        (ev.Tick(), 0.2, "stopping", "DUMPING", NOTHING),
        (ev.Tick(), 0.3, "stopping", "TERMINATING", "terminate"),
        (ev.Exited(ExitStatus(signal=11)), 0, "starting", "FORKING", "stopping→backoff backoff→starting spawn"),
        (ev.Broken("again"), 0, "stopping", "DUMPING", NOTHING),
        (DOWN, 0, "stopping", "DUMPING", NOTHING),
        (STOP, 0, "stopping", "TERMINATING", "terminate"),
    ],
    "terminating": [
        (ev.Tick(), 9.9, "stopping", "TERMINATING", NOTHING),
        (ev.Tick(), 10, "stopping", "KILLING", "said kill"),
        (STOP, 0, "stopping", "TERMINATING", NOTHING),
        (KILL, 0, "stopping", "KILLING", "kill"),
        (ev.Exited(CRASH), 0, "stopped", "NONE", "stopping→stopped"),
        (ev.BecameReady(), 0, "stopping", "TERMINATING", NOTHING),
    ],
    "killing": [
        (ev.Tick(), 9.9, "stopping", "KILLING", NOTHING),
        (ev.Tick(), 10, "stopping", "KILLING", "said"),
        (STOP, 0, "stopping", "KILLING", NOTHING),
        (KILL, 0, "stopping", "KILLING", NOTHING),
        (ev.Exited(ExitStatus(signal=9)), 0, "stopped", "NONE", "stopping→stopped"),
    ],
    "backoff": [
        (ev.Tick(), 0.9, "backoff", "NONE", NOTHING),
        (ev.Tick(), 1, "starting", "FORKING", "backoff→starting spawn"),
        (ev.Restart(), 0, "starting", "FORKING", "backoff→starting spawn"),
        (DOWN, 0, "stopped", "NONE", "backoff→stopped"),
        (ev.Outlive(), 0, "stopped", "NONE", "backoff→stopped"),
        (UP, 0, "backoff", "NONE", NOTHING),
        (ev.Cleared(), 0, "backoff", "NONE", NOTHING),
    ],
    "fatal": [
        (ev.Tick(), 1e6, "fatal", "NONE", NOTHING),
        (UP, 0, "fatal", "NONE", NOTHING),
        (ev.Restart(), 0, "starting", "FORKING", "fatal→starting spawn"),
        (DOWN, 0, "stopped", "NONE", "fatal→stopped"),
        (ev.Outlive(), 0, "stopped", "NONE", "fatal→stopped"),
    ],
}  # fmt: skip

ROWS = [(name, *row) for name, rows in TABLES.items() for row in rows]


@pytest.mark.parametrize(("name", "event", "later", "state", "phase", "actions"), ROWS)
def test_every_row_of_the_tables_holds(
    name: str, event: Event, later: float, state: str, phase: str, actions: str
) -> None:
    made = situation(name)
    done = words(made.step(event, NOW + later))
    assert (made.state.value, made.phase.name, done) == (state, phase, actions)


def test_the_situations_are_what_their_names_say() -> None:
    phases = {name: situation(name).phase.name.lower() for name in TABLES}
    by_state = {"stopped", "running", "backoff", "fatal"}
    assert phases == {name: "none" if name in by_state else name for name in TABLES}
    assert all(situation(name).state.value == name for name in by_state)
