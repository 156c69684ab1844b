"""RUNS IN THE USER'S TERMINAL: `supervisor backfill`: run what was missed, one slot after the other, and show it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from supervisor.cli import ask, options, past, terminal
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.cli.run import outcome
from supervisor.core.errors import Exit, WrongUsage
from supervisor.core.escape import line

MOST = 1000  # slots of one command, unless it is told more


@verb(example="supervisor backfill invoices --from 2026-11-20 --to 2026-11-21 --dry-run")
@options.one_name
@click.option("--from", "since", type=options.Slot(), required=True, metavar="TIME", help="The first slot or before.")
@click.option("--to", "until", type=options.Slot(), metavar="TIME", help="The last slot or after; default: now.")
@click.option("--dry-run", is_flag=True, help="Only list the slots.")
@click.option("--limit", type=click.IntRange(1), default=MOST, show_default=True, help="Of more slots none runs.")
@options.as_json
def backfill(
    place: Place, name: str, since: float, until: float | None, dry_run: bool, limit: int, as_json: bool
) -> int:
    """Run the missed slots of a task in order; each gets its result in the history. Ctrl-C ends it between two."""
    until = time.time() if until is None else until
    slots = _missed(place, name, since, until, limit)
    if past.not_recorded(place, name, since, until):
        terminal.tell(
            f"{name}: slots of that time have no record yet, for no process of it has run since; they can be run when"
            f" one does (supervisor explain {name}{place.option})"
        )
    elif not slots:
        terminal.tell(f"{name}: no slot was missed in that time")
    if dry_run:
        shown = [past.instant(slot) for slot in slots]
        terminal.say_all([ask.dumps(slots)] if as_json else shown)
        return Exit.OK
    found = _run_all(place, name, slots, quiet=as_json)
    if as_json:
        terminal.say(ask.dumps(found))
    return Exit.OK if all(run.get("state") == "ok" for run in found) else Exit.FAILED


def _missed(place: Place, name: str, since: float, until: float, limit: int) -> list[float]:
    if until < since:
        raise WrongUsage("--to is before --from: expected the earlier time at --from")
    slots = past.missed(place, name, since, until, limit + 1)
    if len(slots) > limit:
        raise WrongUsage(f"{name}: more than {limit} slots were missed in that time; say less of it, or --limit")
    return slots


def _run_all(place: Place, name: str, slots: Sequence[float], *, quiet: bool) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for slot in slots:
        try:
            found.append(_run(place, name, slot))
        except KeyboardInterrupt:
            terminal.tell(
                f"{len(found)} of {len(slots)} are done; the run in hand ends by itself, the rest stays missed"
            )
            raise
        if not quiet:
            _show(f"{len(found)}/{len(slots)}  {past.instant(slot)}", name, found[-1])
    return found


def _run(place: Place, name: str, slot: float) -> Mapping[str, Any]:
    body = {"slot": slot, "wait": True, "kind": "backfill"}
    reply = ask.order(place, name, "run", body, timeout=None)
    run: Mapping[str, Any] = reply.get("run") or {}
    return run


def _show(at: str, name: str, run: Mapping[str, Any]) -> None:
    first, *more = outcome(name, run)
    terminal.say_all([f"{line(at)}  {first}", *more])
    terminal.flush()
