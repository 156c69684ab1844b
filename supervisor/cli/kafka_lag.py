"""RUNS IN THE USER'S TERMINAL: `supervisor kafka lag`: how far behind a consumer is, partition by partition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from supervisor.cli import ask, options, terminal
from supervisor.cli.group import verb
from supervisor.cli.kafka_target import ask_broker, consumers, one
from supervisor.cli.place import Place
from supervisor.core.errors import Exit, NoSuchChild, NotRunning
from supervisor.core.escape import line
from supervisor.core.prose import shorten
from supervisor.core.status import Cell, Table, named
from supervisor.core.words import width
from supervisor.helper.kafka_standing import standing

_HEADER = ("CONSUMER", "TOPIC", "PART", "AT", "END", "LAG", "MEMBER", "WHY")
_WHY = len(_HEADER) - 1
LEAST = 20  # columns of the reason, however narrow the terminal

Row = Mapping[str, Any]


@verb(example="supervisor kafka lag\nsupervisor kafka lag payments --json")
@click.argument("name", required=False, metavar="[NAME]", shell_complete=options.complete)
@options.as_json
def lag(place: Place, name: str | None, as_json: bool) -> int:
    """Show how far behind consumers are: AT is the first record not handled.

    Asks the running supervisor; when it does not run, the broker.
    """
    try:
        rows = list(_living(place, name))
    except NotRunning:
        rows = _at_rest(place, name)
    if as_json:
        terminal.say(ask.dumps({"partitions": rows}))
    elif not rows:
        terminal.tell("there is no consumer: supervisor add consumer NAME")
    else:
        terminal.say_all(terminal.lines(_table(rows, terminal.columns()), coloured=terminal.colour()))
    return Exit.OK


def _living(place: Place, name: str | None) -> Iterator[Row]:
    found = ask.status(place)
    if name and (missing := ask.missing(place, name, found)):
        raise NoSuchChild(missing)
    members = [each for each in named(found, [name] if name else []) if each.get("kind") == "consumer"]
    if name and not members:
        raise NoSuchChild(f"{name!r} is no consumer: only consumers have a lag")
    for member in members:
        parts = [each for each in member.get("partitions") or () if isinstance(each, Mapping)]
        alive = member.get("pid") is not None
        for part in parts if alive else []:
            yield _row(member, part, _why(member, part))
        if not alive or not parts:
            said = member.get("waiting") or member.get("note") or member.get("reason") or "no partition is assigned yet"
            state = "" if member.get("state") == "running" else f"{member.get('state')}: "
            yield _row(member, {}, f"{state}{said}")


def _why(member: Row, part: Row) -> str:
    if member.get("held"):
        return f"paused by hand: supervisor kafka resume {member.get('group')}"
    if part.get("paused"):
        return f"held: {member.get('note') or member.get('waiting') or 'its record cannot be handled now'}"
    return str(member.get("waiting") or "")


def _row(member: Row, part: Row, why: str) -> Row:
    position, behind = part.get("position"), part.get("lag")
    known = isinstance(position, int) and isinstance(behind, int)
    return {
        "consumer": member.get("group"),
        "topic": part.get("topic"),
        "partition": part.get("partition"),
        "position": position,
        "end": position + behind if known else None,  # type: ignore[operator]
        "lag": behind,
        "member": member.get("name"),
        "paused": bool(part.get("paused") or member.get("held")),
        "why": why,
    }


def _at_rest(place: Place, name: str | None) -> list[Row]:
    known = consumers(place)
    more = {"member": None, "paused": False, "why": "the supervisor is not running"}
    return [
        {"consumer": each, **found, **more}
        for each in ([name] if name else known)
        for found in ask_broker(place, standing, one(known, each))
    ]


def _table(rows: list[Row], columns: int | None) -> Table:
    texts = [[line(_text(row.get(key))) for key in _KEYS] for row in rows]
    widths = [max(width(h), *(width(text[at]) for text in texts)) for at, h in enumerate(_HEADER)]
    if columns is not None:
        widths[_WHY] = min(widths[_WHY], max(LEAST, columns - sum(widths[:_WHY]) - 2 * _WHY))
    cells = []
    for row, text in zip(rows, texts, strict=True):
        style = "yellow" if row.get("paused") else ""
        cells.append((*map(Cell, text[:_WHY]), Cell(shorten(text[_WHY], widths[_WHY]), style)))
    return Table(_HEADER, tuple(cells), tuple(widths))


_KEYS = ("consumer", "topic", "partition", "position", "end", "lag", "member", "why")


def _text(value: object) -> str:
    return "-" if value is None else str(value)
