"""RUNS IN THE USER'S TERMINAL: `supervisor status`. Imports click and a socket, nothing heavy."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from supervisor.cli import ask, options, terminal
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.core.errors import Exit, NoSuchChild, NotRunning, SupervisorError, TimedOut
from supervisor.core.footer import footer
from supervisor.core.status import Verdict, children, named, table, verdict
from supervisor.core.words import short

POLL = 0.2  # seconds between two looks of --wait
REDRAW = 1.0
_HOME = "\x1b[H\x1b[J"  # to the corner, and clear from there

Status = Mapping[str, Any]


@verb(example="supervisor status --watch\nsupervisor status --check   (exit code 1 when something is not ready)")
@options.names(required=False)
@options.as_json
@click.option("--check", is_flag=True, help="Only say whether everything wanted is ready.")
@click.option("--live", is_flag=True, help="With --check: only the supervisor itself must answer.")
@click.option("--wait", type=options.Duration(), metavar="TIME", help="Until everything wanted is ready; else exit 5.")
@click.option("--watch", is_flag=True, help="Draw it again every second, until Ctrl-C.")
def status(
    place: Place, names: Sequence[str], as_json: bool, check: bool, live: bool, wait: float | None, watch: bool
) -> int:
    """Show what runs, what ran and what is wrong."""
    if live and not check:
        raise click.UsageError("--live goes with --check")
    if watch:
        return _watch(place, names)
    found = _wait(place, names, wait) if wait is not None else fetch(place, names)
    if as_json:
        terminal.say(ask.dumps(found))
    elif not check:
        terminal.say_all(text(found))
    return _checked(found, live=live, quiet=as_json) if check else Exit.OK


def fetch(place: Place, names: Sequence[str] = ()) -> Status:
    """Return the status, only with the children of these names. Raises NoSuchChild for a name that is none."""
    found = ask.status(place)
    for name in names:
        if missing := ask.missing(place, name, found):
            raise NoSuchChild(missing)
    return {**found, "children": named(found, names)}


def text(found: Status, *, now: float | None = None) -> list[str]:
    """Return the table and, when there is something to say, the footer."""
    width = terminal.columns()
    coloured = terminal.colour()
    if not children(found):
        return ["nothing to supervise: config.toml has no task and no consumer (supervisor add task NAME)"]
    made = terminal.lines(table(found, width, time.time() if now is None else now), coloured=coloured)
    return made + [terminal.paint(each, style, coloured=coloured) for each, style in footer(found, width)]


def _checked(found: Status, *, live: bool, quiet: bool) -> int:
    outcome = Verdict(ok=True, problems=()) if live else verdict(found)
    for problem in outcome.problems:
        terminal.tell(problem.text)
    if outcome.ok and not quiet:
        terminal.say("ok")
    return Exit.OK if outcome.ok else Exit.FAILED


def _wait(place: Place, names: Sequence[str], limit: float) -> Status:
    end = time.monotonic() + limit
    while True:
        found: Status | None
        try:
            found, missing = fetch(place, names), ""
        except NotRunning as error:  # it may be starting just now
            found, missing = None, str(error)
        if found is not None and verdict(found).ok:
            return found
        if time.monotonic() >= end:
            wrong = [p.text for p in verdict(found).problems] if found else [missing]
            raise TimedOut(f"not ready within {short(limit)}: " + "; ".join(wrong))
        time.sleep(min(POLL, max(0.0, end - time.monotonic())))


def _watch(place: Place, names: Sequence[str]) -> int:
    clear = _HOME if terminal.columns() is not None and terminal.colour() else ""
    while True:
        try:
            drawn = text(fetch(place, names))
        except SupervisorError as error:
            drawn = [str(error)]
        terminal.say(clear + "\n".join(drawn))
        terminal.flush()
        time.sleep(REDRAW)
