"""RUNS IN THE USER'S TERMINAL: `supervisor kafka doctor`: what keeps a consumer from its records? Changes nothing.

All of it takes ten seconds at most, also when no broker answers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import click

from supervisor import client
from supervisor.cli import ask, options, report, terminal
from supervisor.cli.checks import apart, kafka
from supervisor.cli.checks.apart import Answer
from supervisor.cli.doctor import Check, shown
from supervisor.cli.group import verb
from supervisor.cli.kafka_target import bootstrap, consumers, one
from supervisor.cli.place import Place
from supervisor.core.config import redact
from supervisor.core.errors import Exit, SupervisorError
from supervisor.core.escape import line
from supervisor.core.spec import ConsumerSettings
from supervisor.core.status import named
from supervisor.helper.kafka_doctor import facts

WITHIN = 8.0  # seconds for all brokers together
ONE = 6.0  # for one consumer; the process around it has half a second more
LEAST = 1.0

Seen = dict[str, str]  # brokers that gave no answer, and for which consumer


@verb(example="supervisor kafka doctor\nsupervisor kafka doctor payments --json")
@click.argument("name", required=False, metavar="[NAME]", shell_complete=options.complete)
@options.as_json
def doctor(place: Place, name: str | None, as_json: bool) -> int:
    """Say what keeps consumers from their records: broker, topics, rights, group, offsets, dead letters.

    Each line says what to do.
    """
    known = consumers(place)
    chosen = {name: one(known, name)} if name else known
    if not chosen:
        raise SupervisorError("there is no consumer: supervisor add consumer NAME")
    found: dict[str, list[Check]] = {}
    for each, checks in _examine(place, chosen):
        found[each] = checks
        if not as_json:
            terminal.say_all([line(each), *(f"  {shown(check)}" for check in checks)])
            terminal.flush()
    failed = [check for checks in found.values() for check in checks if check.ok is False]
    if as_json:
        told = {each: [asdict(check) for check in checks] for each, checks in found.items()}
        terminal.say(ask.dumps({"ok": not failed, "consumers": told}))
    else:
        total = sum(len(checks) for checks in found.values())
        terminal.tell(f"{report.many(len(failed), 'problem')} in {total} checks")
    return Exit.FAILED if failed else Exit.OK


def _examine(place: Place, chosen: Mapping[str, ConsumerSettings]) -> Iterator[tuple[str, list[Check]]]:
    end = time.monotonic() + WITHIN
    status, silent = _status(place), Seen()
    for name, settings in chosen.items():
        lines = _of_one(place, name, settings, status, silent, end - time.monotonic())
        yield name, [Check(title, *answer) for title, answer in lines]


def _status(place: Place) -> Mapping[str, Any]:
    """A supervisor that is frozen is not waited for."""
    try:
        code, found = client.request(place.sockets, "GET", "/v1/status", timeout=1.0)
    except SupervisorError:
        return {}
    return found if code == 200 else {}


def _of_one(
    place: Place, name: str, settings: ConsumerSettings, status: Mapping[str, Any], silent: Seen, left: float
) -> list[kafka.Line]:
    try:
        where = bootstrap(place, settings)
    except SupervisorError as error:
        said, _, fix = str(error).partition(": ")
        return [("broker", Answer(False, said, fix))]
    reached = repr((where, sorted(settings.properties.items())))
    if reached in silent:
        return [("broker", Answer(None, f"{where} gives no answer, as to {silent[reached]}"))]
    if left < LEAST:
        return [("broker", Answer(None, "not asked: the others took the time", f"supervisor kafka doctor {name}"))]
    members = [each for each in named(status, [name]) if each.get("pid") is not None]
    about = kafka.About(name, settings, where, members)
    within = min(ONE, left)
    try:
        found = apart.call(facts, settings, where, within, within=within + 0.5)
    except apart.Failed as error:
        silent[reached] = name
        return [("broker", Answer(False, f"{where}: {redact.text(str(error))}", "is it frozen?"))]
    if "topics" not in found:
        silent[reached] = name
    return list(kafka.judge(about, found))
