"""RUNS IN THE USER'S TERMINAL: `supervisor history`: a task's runs, read from its ledger; needs no supervisor."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from supervisor.cli import ask, options, past, terminal
from supervisor.cli.figures import summary
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.core.errors import Exit
from supervisor.core.escape import line
from supervisor.core.prose import gist, shorten
from supervisor.core.status import Cell, Table
from supervisor.core.words import ago, coarse, epoch, short, width

_STATES = {"ok": ("✓", "green"), "skipped": ("○", "dim"), "missed": ("○", "dim"), "running": ("▶", "cyan")}
_HEADER = ("SLOT", "KIND", "STATE", "TOOK", "LATE", "TRY", "ENDED", "ERROR")
_TEXT = len(_HEADER) - 1
LEAST = 20  # columns of the error, however narrow the terminal

Run = Mapping[str, Any]


@verb(example="supervisor history notifications -n 20")
@options.one_name
@options.as_json
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, the latest.")
@click.option("--missed", is_flag=True, help="Only what did not run, and why.")
def history(place: Place, name: str, as_json: bool, limit: int, missed: bool) -> int:
    """List the runs of a task, the latest last: ok, failed, skipped (why), missed (why)."""
    found = _records(place, name, limit, missed=missed)
    if as_json:
        terminal.say(ask.dumps(found))
    elif not found:
        terminal.tell(f"{name}: no slot was missed or skipped" if missed else f"{name} has no run yet")
    else:
        made = table(found, terminal.columns(), time.time())
        terminal.say_all(terminal.lines(made, coloured=terminal.colour()))
        _sum_up(found)
    return Exit.OK


def _sum_up(found: Sequence[Run]) -> None:
    if said := summary(found, terminal.columns()):
        terminal.say()
        terminal.say(said)


def table(runs: Sequence[Run], columns: int | None, now: float) -> Table:
    rows = [_row(run, now) for run in runs]
    widths = [max(width(h), *(width(row[at].text) for row in rows)) for at, h in enumerate(_HEADER)]
    if columns is not None:
        widths[_TEXT] = min(widths[_TEXT], max(LEAST, columns - sum(widths[:_TEXT]) - 2 * _TEXT))
    cells = tuple((*row[:_TEXT], Cell(shorten(row[_TEXT].text, widths[_TEXT]), row[_TEXT].style)) for row in rows)
    return Table(_HEADER, cells, tuple(widths))


def _row(run: Run, now: float) -> tuple[Cell, ...]:
    state = str(run.get("state"))
    sign, style = _STATES.get(state, ("✗", "red"))
    ended = epoch(run.get("finished"))
    why = str(run.get("error") or run.get("reason") or "")
    last = run.get("last")
    until = f", to {past.instant(last)}" if last is not None and last != run.get("slot") else ""
    return (
        Cell(past.instant(run.get("slot"))),
        Cell(line(str(run.get("kind") or "-"))),
        Cell(f"{sign} {line(state)}{_many(run)}", style),
        Cell(_short(run.get("duration"))),
        Cell(_short(run.get("lateness"))),
        Cell(line(str(run.get("attempt") or "-"))),
        Cell(_ended(ended, now)),
        Cell(line(gist(why) + until)),
    )


def _ended(at: float | None, now: float) -> str:
    """Before the clock was set back it was later than now."""
    if at is None:
        return "-"
    return ago(now - at) if at <= now + 1 else f"in {coarse(at - now)}"


def _many(run: Run) -> str:
    """Return " (12 slots)" of a range of slots that did not run, which is one record."""
    slots = run.get("slots")
    if isinstance(slots, int):
        return f" ({slots} slots)" if slots > 1 else ""
    return " (many slots)" if slots is None and "last" in run else ""


def _short(seconds: object) -> str:
    return short(seconds) if isinstance(seconds, (int, float)) else "-"


def _records(place: Place, name: str, limit: int, *, missed: bool) -> list[Run]:
    found = past.runs(place, name, limit, missed=missed)
    if found is None:
        past.known_task(place, name)
    return found or []
