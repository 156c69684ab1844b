"""RUNS IN THE USER'S TERMINAL: `supervisor run`: one run now, in the task's own process or (--local) in this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from supervisor.cli import ask, options, terminal
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.core.errors import Exit
from supervisor.core.escape import escape, line
from supervisor.core.words import short


@verb(example="supervisor run notifications --wait\nsupervisor run notifications --local   (breakpoint() works)")
@options.one_name
@click.option("--wait", is_flag=True, help="Until it ended; exit code 1 when it failed.")
@click.option("--slot", type=options.Slot(), metavar="TIME", help="The instant it is for.")
@click.option("--local", is_flag=True, help="In this terminal, without the supervisor.")
@options.as_json
def run(place: Place, name: str, wait: bool, slot: float | None, local: bool, as_json: bool) -> int:
    """Run a task now. A run that is going on is not disturbed."""
    if local:
        from supervisor.cli.local import run_here

        return run_here(place, name, slot)
    reply = ask.order(place, name, "run", {"slot": slot, "wait": wait}, timeout=None if wait else ask.PATIENCE)
    found = reply.get("run") or {}
    if as_json:
        terminal.say(ask.dumps(found))
    elif wait:
        terminal.say_all(outcome(name, found))
    else:
        terminal.say(f"{line(name)}: will run as soon as it is free (supervisor history {line(name)})")
    return Exit.OK if not wait or found.get("state") == "ok" else Exit.FAILED


def outcome(name: str, run: Mapping[str, Any]) -> list[str]:
    """Return how a run ended: ✓ task1 ok in 0.21s; then its error or its result."""
    state, took = str(run.get("state")), run.get("duration")
    sign, style = ("✓", "green") if state == "ok" else ("✗", "red")
    said = f"{line(name)} {line(state)}" + (f" in {short(took)}" if isinstance(took, (int, float)) else "")
    more = run.get("error") or run.get("reason") or run.get("result")
    texts = [f"  {escape(text)}" for text in str(more).splitlines()] if more not in (None, "") else []
    return [f"{terminal.paint(sign, style, coloured=terminal.colour())} {said}", *texts]
