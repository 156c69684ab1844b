"""RUNS IN THE USER'S TERMINAL: `supervisor reload`: what changed, what that does, or why nothing was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from supervisor.cli import ask, report, terminal
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.core.errors import Exit
from supervisor.core.escape import line
from supervisor.core.words import width

PATIENCE = 60.0  # seconds: a helper imports the validator and, for `check`, the user's modules
_SIGNS = {
    "add": ("+", "green"),
    "remove": ("-", "red"),
    "restart": ("~", "yellow"),
    "toggle": ("~", "cyan"),
    "supervisor": ("!", "yellow"),
}
_DOES = {
    "add": "start",
    "remove": "stop when the run or records in hand are done",
    "restart": "restart when the run or records in hand are done",
    "toggle": "",
    "update": "no restart",
    "supervisor": "",  # what changed says that it waits for the next start
}

Change = Mapping[str, Any]


@verb(example="supervisor reload --dry-run")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
def reload(place: Place, dry_run: bool) -> int:
    """Apply a changed config.toml; only what changed is touched."""
    reply = ask.post(place, "/v1/reload", {"dry_run": dry_run}, timeout=PATIENCE)
    report.problems(place, reply.get("warnings"), warning=True)
    if count := report.problems(place, reply.get("problems")):
        terminal.tell(f"{report.many(count, 'error')}, nothing was changed")
        return Exit.USAGE
    changes = reply.get("plan") or []
    terminal.say_all(plan(changes, coloured=terminal.colour()) or ["nothing changed"])
    if dry_run and changes:
        terminal.tell("nothing was applied: supervisor reload does it")
    return Exit.OK


def plan(changes: Sequence[Change], *, coloured: bool) -> list[str]:
    """Return a line per change: ~ notifications  every 30s → 1m  no restart"""
    names = [line(str(change.get("name", ""))) for change in changes]
    whats = [line(str(change.get("what") or "")) for change in changes]
    name_width, what_width = (max(map(width, texts), default=0) for texts in (names, whats))
    made = []
    for change, name, what in zip(changes, names, whats, strict=True):
        sign, style = _SIGNS.get(str(change.get("change")), ("~", ""))
        does = _DOES.get(str(change.get("change")), "")
        text = f"{name}{' ' * (name_width - width(name))}  {what}{' ' * (what_width - width(what))}  {does}"
        made.append(f"{terminal.paint(sign, style, coloured=coloured)} {text}".rstrip())
    return made
