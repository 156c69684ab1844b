"""RUNS IN THE USER'S TERMINAL: `supervisor kafka tail` and `produce`: records of a topic, and new ones."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from supervisor.cli import ask, options, report, terminal
from supervisor.cli.group import verb
from supervisor.cli.kafka_target import ask_broker, consumers, of_topic
from supervisor.cli.place import Place
from supervisor.core.errors import Exit
from supervisor.core.escape import escape, line
from supervisor.helper.kafka_records import produce as send
from supervisor.helper.kafka_records import records
from supervisor.logs import stamp

LOOK = 0.5  # seconds between two looks of -f
MOST = 10_000
_like = click.option("--like", metavar="NAME", help="Reach the broker as this consumer does.")


@verb(example="supervisor kafka tail payments -n 5\nsupervisor kafka tail orders -f")
@click.argument("what", metavar="TOPIC|NAME")
@click.option("-n", "count", type=click.IntRange(0, MOST), default=10, show_default=True, help="How many, the newest.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@_like
@options.as_json
def tail(place: Place, what: str, count: int, follow: bool, like: str | None, as_json: bool) -> int:
    """Show the newest records of a topic, or of a consumer's topics.

    Reads without a group: it commits nothing and takes nothing from anybody.
    """
    known = consumers(place)
    topics: Sequence[str] = (what,)
    if what in known and like is None:
        settings, topics = known[what], known[what].topics
    else:
        settings = of_topic(known, what, like)
    found = ask_broker(place, records, settings, topics, count)
    _show(found["records"], as_json=as_json)
    while follow:
        terminal.flush()
        time.sleep(LOOK)
        found = ask_broker(place, records, settings, topics, count, found["next"])
        _show(found["records"], as_json=as_json)
    return Exit.OK


@verb(example="""supervisor kafka produce payments --key 17 '{"amount": 3}'""")
@click.argument("topic")
@click.argument("value", required=False, metavar="[VALUE|-]")
@click.option("--key", metavar="TEXT", help="Records of one key stay in order.")
@click.option("--header", "headers", multiple=True, metavar="NAME=TEXT", help="May be given several times.")
@_like
def produce(
    place: Place, topic: str, value: str | None, key: str | None, headers: Sequence[str], like: str | None
) -> int:
    """Write a record; with - or without VALUE, one for each line of stdin."""
    named = [_header(each) for each in headers]
    settings = of_topic(consumers(place), topic, like)
    texts = _lines() if value in (None, "-") else [str(value).encode(errors="surrogateescape")]
    keyed = None if key is None else key.encode(errors="surrogateescape")
    placed = ask_broker(place, send, settings, topic, [(each, keyed, named) for each in texts])
    if len(placed) == 1:
        terminal.say(f"{line(topic)}[{placed[0][0]}] at {placed[0][1]}")
    else:
        terminal.say(f"{line(topic)}: {report.many(len(placed), 'record')}")
    return Exit.OK


def _header(text: str) -> tuple[str, bytes]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.UsageError(f"--header: expected NAME=TEXT, got {line(text)!r}")
    return name, value.encode(errors="surrogateescape")


def _lines() -> list[bytes]:
    return sys.stdin.buffer.read().splitlines()


def _show(found: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    for row in found:
        terminal.say(ask.dumps(row, indent=None) if as_json else shown(row))


def shown(row: Mapping[str, Any]) -> str:
    """Return a record in one line, whatever is in it."""
    when = stamp(row["timestamp"]) if row["timestamp"] is not None else "-"
    key = "" if row["key"] is None else f"  key={row['key']}"
    headers = "".join(f"  {name}={'null' if value is None else value}" for name, value in row["headers"])
    value = "(no value)" if row["value"] is None else row["value"]
    return escape(f"{when}  {row['topic']}[{row['partition']}] at {row['offset']}{key}{headers}  {value}")
