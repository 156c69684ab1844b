"""RUNS IN THE USER'S TERMINAL: arguments that several verbs share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from supervisor import client
from supervisor.cli.place import Place, find

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)


class Duration(click.ParamType[float]):
    """30s, 1h30m, 500ms; a bare number is seconds. Gives seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from supervisor.core.durations import DurationError, parse

        text = str(value).strip()
        if _NUMBER.fullmatch(text):
            return float(text)
        try:
            return parse(text)
        except DurationError as error:
            self.fail(str(error), param, ctx)


class Slot(click.ParamType[float]):
    """An instant: RFC 3339 (2026-11-25T14:00:00Z; without a zone it is local time) or epoch seconds."""

    name = "slot"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from supervisor.core.words import epoch

        text = str(value).strip()
        found = epoch(float(text) if _NUMBER.fullmatch(text) else text)  # no milliseconds: the year 58,000 is none
        if found is None:
            self.fail(f'expected a time like "2026-11-25T14:00:00Z", got "{value}"', param, ctx)
        return found


def configured(where: Place) -> dict[str, list[str]]:
    """Return the names that config.toml has, by kind, without a look at anything else in it."""
    import tomllib

    try:
        found = tomllib.loads(client.config_text(where.config))
    except (ValueError, RecursionError):
        return {}
    return {kind: list(found[kind]) for kind in ("tasks", "consumers") if isinstance(found.get(kind), dict)}


def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names for the shell, from config.toml: no supervisor has to run."""
    where = find(ctx.params.get("config") or ctx.find_root().params.get("config"))
    return [name for kind in configured(where).values() for name in kind if name.startswith(incomplete)]


def names(*, required: bool) -> Callable[..., Any]:
    metavar = "NAME..." if required else "[NAME...]"
    return click.argument("names", nargs=-1, required=required, metavar=metavar, shell_complete=complete)


one_name = click.argument("name", metavar="NAME", shell_complete=complete)
as_json = click.option("--json", "as_json", is_flag=True, help="Data for programs.")
now_flag = click.option("--now", is_flag=True, help="Do not wait for the run or records in hand.")
