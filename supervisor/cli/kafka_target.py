"""RUNS IN THE USER'S TERMINAL: which consumer `supervisor kafka` is told of, and where its broker is."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from supervisor import plain
from supervisor.cli import report
from supervisor.cli.checks import apart, project
from supervisor.cli.place import Place
from supervisor.core import names
from supervisor.core.config import redact
from supervisor.core.errors import NoSuchChild, NotRunning, SupervisorError, WrongUsage
from supervisor.core.kafka.address import from_text
from supervisor.core.spec import ConsumerSettings, Plan, plan_from_json

WITHIN = 10.0  # seconds for the broker; the process around it has two more


def plan_of(place: Place) -> Plan:
    """Return what config.toml says. Raises WrongUsage when it is not valid."""
    found = apart_call(project.read, place)
    if not found["ok"]:
        count = report.problems(place, found.get("problems"))
        raise WrongUsage(f"{place.short(place.config)} has {report.many(count, 'error')}: supervisor check")
    return plan_from_json(found["plan"])


def consumers(place: Place) -> dict[str, ConsumerSettings]:
    """Return the consumers of config.toml by name, one member of each."""
    return consumers_of(plan_of(place))


def consumers_of(plan: Plan) -> dict[str, ConsumerSettings]:
    return {each.group: each.settings for each in plan.children if isinstance(each.settings, ConsumerSettings)}


def one(known: dict[str, ConsumerSettings], name: str) -> ConsumerSettings:
    if name not in known:
        raise NoSuchChild(names.unknown("consumer", name, known))
    return known[name]


def of_topic(known: dict[str, ConsumerSettings], topic: str, like: str | None) -> ConsumerSettings:
    """Return the consumer whose broker is meant: `like`, or one with that topic, or any when all have one broker."""
    if like is not None:
        return one(known, like)
    named = [each for each in known.values() if topic in (*each.topics, each.dead_letter_topic)]
    reached = {repr((each.bootstrap_servers, sorted(each.properties.items()))) for each in known.values()}
    if not named and len(reached) > 1:
        raise WrongUsage(f"which broker? say which consumer reaches it: --like NAME ({', '.join(sorted(known))})")
    if not known:
        raise NoSuchChild("there is no consumer in config.toml, so no broker: supervisor add consumer NAME")
    return (named or list(known.values()))[0]


def ask_broker(place: Place, function: Callable[..., Any], settings: ConsumerSettings, *args: Any) -> Any:
    """Call function(settings, bootstrap, seconds, *args) in a process of its own; a text is why it failed."""
    where = bootstrap(place, settings)
    answer = apart_call(function, settings, where, WITHIN, *args, within=WITHIN + 2)
    if isinstance(answer, str):
        raise SupervisorError(f"{where}: {redact.text(answer)}")
    return answer


def bootstrap(place: Place, settings: ConsumerSettings) -> str:
    if settings.bootstrap_servers != project.EMBEDDED:
        return settings.bootstrap_servers
    try:
        with os.fdopen(plain.opened(place.paths.broker), "rb") as file:
            address = from_text(file.read(4096).decode(errors="replace"))
    except OSError:
        address = None
    if address is None:
        raise NotRunning(f"the embedded broker lives only as long as the supervisor: supervisor start{place.option}")
    return address.bootstrap_servers


def apart_call(function: Callable[..., Any], *args: Any, within: float = WITHIN) -> Any:
    try:
        return apart.call(function, *args, within=within)
    except apart.Failed as error:
        raise SupervisorError(redact.text(str(error))) from error
