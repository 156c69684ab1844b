"""RUNS IN THE USER'S TERMINAL: `supervisor kafka dlq`: which records could not be handled, why, and once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from supervisor.cli import ask, options, report, terminal
from supervisor.cli.group import verb
from supervisor.cli.kafka_target import ask_broker, consumers, one
from supervisor.cli.place import Place
from supervisor.core.errors import Exit, SupervisorError, WrongUsage
from supervisor.core.escape import escape
from supervisor.helper.kafka_letters import letters, replay
from supervisor.logs import stamp

MOST = 10_000  # letters of one partition that are looked at, the newest
ENOUGH = 5  # times that a letter goes back
FIELDS = ("exception", "message", "topic", "key", "value", "source")

Letter = Mapping[str, Any]


@verb(
    example="supervisor kafka dlq ls payments\nsupervisor kafka dlq replay payments --where key=17 --dry-run",
    help_alone=True,
)
@click.argument("action", type=click.Choice(["ls", "show", "replay"]))
@options.one_name
@click.argument("at", required=False, metavar="[PARTITION:OFFSET]")
@click.option("--where", "wheres", multiple=True, metavar="FIELD=TEXT", help=f"FIELD has TEXT: {', '.join(FIELDS)}.")
@click.option("--dry-run", is_flag=True, help="Only say what would go back.")
@options.as_json
def dlq(
    place: Place, action: str, name: str, at: str | None, wheres: Sequence[str], dry_run: bool, as_json: bool
) -> int:
    """Look at the dead letters of a consumer.

    \b
    ls      one line each
    show    one with its stack trace; the newest without PARTITION:OFFSET
    replay  send them back to the topic they came from
    """
    if dry_run and action != "replay":
        raise click.UsageError("--dry-run goes with replay")
    tests = [_where(each) for each in wheres]
    settings = one(consumers(place), name)
    if settings.dead_letter_topic is None:
        raise WrongUsage(f"{name} has no dead_letter_topic in {place.short(place.config)}")
    found = [each for each in ask_broker(place, letters, settings, MOST) if each["group"] in (None, settings.group_id)]
    found = [each for each in found if all(text in str(each[field]) for field, text in tests)]
    if at is not None:
        found = [each for each in found if f"{each['partition']}:{each['offset']}" == at]
    if not found:
        raise SupervisorError(f"{settings.dead_letter_topic} has no such letter of {name}")
    if action == "replay":
        return _replay(place, settings, found, dry_run=dry_run)
    if action == "show":
        found = [max(found, key=lambda each: (each["timestamp"] or 0, each["offset"]))] if at is None else found
    if as_json:
        terminal.say(ask.dumps({"letters": found}))
    else:
        terminal.say_all(text for each in found for text in (_whole(each) if action == "show" else [_short(each)]))
    return Exit.OK


def _where(text: str) -> tuple[str, str]:
    field, equals, value = text.partition("=")
    if field not in FIELDS or not equals:
        raise click.UsageError(f"--where: expected FIELD=TEXT with one of {', '.join(FIELDS)}, got {escape(text)!r}")
    return field, value


def _replay(place: Place, settings: Any, found: Sequence[Letter], *, dry_run: bool) -> int:
    sent = [each for each in found if each["topic"] is not None and each["replays"] < ENOUGH]
    for each in found:
        if each not in sent:
            why = "does not say where it came from" if each["topic"] is None else f"went back {each['replays']} times"
            terminal.tell(f"left out: {each['partition']}:{each['offset']} {why}")
    if dry_run:
        terminal.say_all(_short(each) for each in sent)
        terminal.tell(f"{report.many(len(sent), 'letter')} would go back")
        return Exit.OK
    places = [[each["partition"], each["offset"]] for each in sent]
    done = ask_broker(place, replay, settings, places, MOST) if places else 0
    terminal.say(f"{report.many(done, 'letter')} went back; they stay in {escape(settings.dead_letter_topic)}")
    return Exit.OK if len(sent) == len(found) else Exit.FAILED


def _short(letter: Letter) -> str:
    again = f"  replayed {letter['replays']}×" if letter["replays"] else ""
    where = f"{letter['partition']}:{letter['offset']}  {_when(letter)}  from {letter['source'] or letter['topic']}"
    return escape(f"{where}  {letter['exception']}: {letter['message']}{again}")


def _whole(letter: Letter) -> list[str]:
    named = [(key, letter[key]) for key in ("source", "attempts", "replays", "exception", "message", "key")]
    named += [(f"header {name}", value) for name, value in letter["headers"]] + [("value", letter["value"])]
    lines = [escape(f"{letter['partition']}:{letter['offset']}  {_when(letter)}")]
    lines += [escape(f"  {name:<10} {'-' if value is None else value}") for name, value in named]
    return lines + [escape(f"  {each}") for each in str(letter["stacktrace"] or "").splitlines()]


def _when(letter: Letter) -> str:
    return stamp(letter["timestamp"]) if letter["timestamp"] is not None else "-"
