"""RUNS IN THE USER'S TERMINAL: `supervisor chaos`: harm a child on purpose, and watch it heal."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from supervisor.cli import ask, events, options, terminal
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.cli.tail import Tail
from supervisor.core.errors import Exit, TimedOut
from supervisor.core.escape import escape, line
from supervisor.core.words import short

HEALS_WITHIN = 180.0  # seconds; more than any default timeout of the supervision
_HOWS = {
    "kill": "SIGKILL, as the OOM killer would.",
    "hang": "Its main thread spins at its next wake-up and hears nothing.",
    "stop": "SIGSTOP: it lives and is silent.",
    "leak": "It takes memory up to max_rss, or 256 MiB.",
    "slow": "Its next run or record begins 5 s late, once.",
}


def _flags(function: Any) -> Any:
    for how, text in reversed(_HOWS.items()):
        function = click.option(f"--{how}", "how", flag_value=how, help=text)(function)
    return function


@verb(example="supervisor chaos notifications --kill --wait")
@options.one_name
@_flags
@click.option("--yes", is_flag=True, help="Do not ask; needed without a terminal.")
@click.option("--wait", is_flag=True, help="Show what happens until it is ready again.")
def chaos(place: Place, name: str, how: str | None, yes: bool, wait: bool) -> int:
    """Harm a child on purpose, to see that it heals."""
    if how is None:
        raise click.UsageError(f"say how: {', '.join(f'--{each}' for each in _HOWS)}")
    _be_sure(name, how, yes=yes)
    tail = Tail(place.paths.events)
    tail.backwards()  # what comes from here on is watched
    done = ask.order(place, name, "chaos", {"how": how})
    child = str(done.get("name"))
    terminal.say(f"{line(child)}: {how} of pid {done.get('pid')}: {line(str(done.get('expect')))}")
    if wait and done.get("replaced"):
        return _watch(tail, child, done.get("pid"))
    terminal.say(f"watch it heal: supervisor status --watch{escape(place.option)}")
    return Exit.OK


def _be_sure(name: str, how: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"this does harm to {name}, and there is no terminal to ask at: add --yes")
    click.confirm(f"{how} {line(name)}?", abort=True, err=True)


def _watch(tail: Tail, child: str, pid: object) -> int:
    """Show the events of the child until another process of it is ready."""
    begun = time.monotonic()
    while time.monotonic() < begun + HEALS_WITHIN:
        found = [event for text in tail.more() if (event := events.parse(text)) and event.get("child") == child]
        events.show(found, as_json=False)
        if any(_is_well(event, pid) for event in found):
            terminal.say(f"healed after {short(time.monotonic() - begun)}")
            return Exit.OK
        terminal.flush()
        time.sleep(events.LOOK)
    raise TimedOut(f"{child} has not healed within {short(HEALS_WITHIN)}: supervisor explain {child}")


def _is_well(event: Mapping[str, Any], pid: object) -> bool:
    return event.get("to") == "running" and event.get("pid") not in (None, pid)
