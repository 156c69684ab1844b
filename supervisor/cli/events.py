"""RUNS IN THE USER'S TERMINAL: `supervisor events`: reads the file itself, whether a supervisor runs or not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import click

from supervisor import logs as form
from supervisor.cli import options, terminal
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.cli.tail import Tail
from supervisor.core.errors import Exit

LOOK = 0.15  # seconds between two looks at the file
EVENTS = 50
Event = dict[str, object]


@verb(example="supervisor events -f\nsupervisor events -n 20 notifications --json")
@options.names(required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes; Ctrl-C ends it.")
@click.option("-n", "--limit", type=click.IntRange(0), default=EVENTS, show_default=True, help="How many, the latest.")
@options.as_json
def events(place: Place, names: Sequence[str], follow: bool, limit: int, as_json: bool) -> int:
    """Show what happened to children, numbered without gaps, over restarts too."""
    tail = Tail(place.paths.events)
    found = list(islice(_of(tail.backwards(), names), limit))[::-1]
    if not found and not follow:
        terminal.tell(f"no event yet in {place.short(place.paths.events)}")
    show(found, as_json=as_json)
    while follow:
        terminal.flush()
        time.sleep(LOOK)
        show(_of(tail.more(), names), as_json=as_json)
    return Exit.OK


def show(found: Iterable[Event], *, as_json: bool) -> None:
    for event in found:
        if as_json:
            terminal.say(form.json_line(event))
        else:
            terminal.say(f"{event['seq']:>6} {form.console(event, colour=terminal.colour())}")


def _of(lines: Iterable[str], names: Sequence[str]) -> Iterator[Event]:
    """Yield the events of these children, members of a consumer included; of all when none is named."""
    for line in lines:
        event = parse(line)
        child = str(event.get("child")) if event else ""
        if event and (not names or child in names or child.rpartition(":")[0] in names):
            yield event


def parse(line: str) -> Event | None:
    """Return the event of a line; None for what a crash or a full disk left of one."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("text"), str):
        return None
    seq = event.get("seq")
    return event if isinstance(seq, int) and not isinstance(seq, bool) else None
