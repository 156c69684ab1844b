"""RUNS IN THE USER'S TERMINAL: `supervisor kafka reset-offsets`: where a consumer is to read on from."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from supervisor.cli import ask, options, terminal
from supervisor.cli.group import verb
from supervisor.cli.kafka_target import ask_broker, consumers, one
from supervisor.cli.place import Place
from supervisor.core.errors import Exit, NotRunning, SupervisorError, TimedOut, WrongUsage
from supervisor.core.escape import line
from supervisor.core.status import named
from supervisor.core.words import epoch
from supervisor.helper.kafka_reset import Target, reset

GONE_WITHIN = 120.0  # seconds for a consumer to leave
LOOK = 0.2


class To(click.ParamType[Target]):
    """earliest, latest, an offset, or an instant."""

    name = "to"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Target:
        text = str(value)
        if text in ("earliest", "latest"):
            return text
        if re.fullmatch(r"[0-9]{1,18}", text):
            return int(text)
        if (found := epoch(text)) is None:
            self.fail(
                f'expected earliest, latest, an offset, or a time like "2026-11-25T14:00:00Z", got "{line(text)}"'
            )
        return float(found)


@verb(example="supervisor kafka reset-offsets payments --to 2026-11-25T14:00:00Z --restart")
@options.one_name
@click.option("--to", type=To(), required=True, metavar="WHERE", help="earliest, latest, a time, or an offset.")
@click.option("--partition", type=click.IntRange(0), metavar="P", help="This one only.")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option("--restart", is_flag=True, help="Switch the consumer off for it, and on again.")
def reset_offsets(place: Place, name: str, to: Target, partition: int | None, dry_run: bool, restart: bool) -> int:
    """Set where a consumer reads on: what lies before is passed, what lies behind comes again.

    Refuses while it runs.
    """
    settings = one(consumers(place), name)
    if settings.delivery == "ledger":
        raise WrongUsage(f'{name} has delivery = "ledger": its offsets are in your database, set them there')
    alive = not dry_run and _alive(place, name)
    if alive and not restart:
        raise SupervisorError(f"{name} is running, and would go on where it is: add --restart, or disable it before")
    with _switched_off(place, name, needed=alive):
        rows = ask_broker(place, reset, settings, to, partition, dry_run)
    for row in rows:
        was = "-" if row["from"] is None else row["from"]
        terminal.say(f"{line(row['topic'])}[{row['partition']}]  {was} → {row['to']}")
    if dry_run:
        terminal.tell("nothing was changed")
    return Exit.OK


def _alive(place: Place, name: str) -> bool:
    try:
        found = ask.status(place)
    except NotRunning:
        return False
    return any(each.get("pid") is not None for each in named(found, [name]))


@contextmanager
def _switched_off(place: Place, name: str, *, needed: bool) -> Iterator[None]:
    if not needed:
        yield
        return
    ask.order(place, name, "disable", {"note": "reset-offsets"})
    try:
        end = time.monotonic() + GONE_WITHIN
        while _alive(place, name):
            if time.monotonic() > end:
                raise TimedOut(f"{name} has not stopped within {GONE_WITHIN:g} s: nothing was reset")
            time.sleep(LOOK)
        yield
    finally:
        ask.order(place, name, "enable", {"note": "after reset-offsets"})
