"""RUNS IN THE USER'S TERMINAL: `supervisor check` and `supervisor config`: nothing is started, nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from supervisor.cli import ahead, ask, report, terminal
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.core.errors import Exit
from supervisor.core.escape import escape, line
from supervisor.core.spec import Plan, plan_from_json, plan_to_json


@verb(example="supervisor check && git commit config.toml")
def check(place: Place) -> int:
    """Check config.toml without starting anything; all errors at once."""
    plan = _plan(place)
    if plan is None:
        return Exit.USAGE
    for spec, text in ahead.warnings(place, plan_from_json(plan), near=1.0):
        terminal.tell(line(f"warning: {spec.where}: tasks.{spec.group}: {text}"))
    terminal.say(f"{place.short(place.config)} ok: {summary(plan)}")
    return Exit.OK


@verb(example="supervisor config show\nsupervisor config schema > supervisor.schema.json", help_alone=True)
@click.argument("what", type=click.Choice(["show", "schema"]))
@click.option("--json", "as_json", is_flag=True, help="Data for programs.")
def config(place: Place, what: str, as_json: bool) -> int:
    """Show the configuration, or its schema.

    \b
    show    every value with its default, secrets hidden
    schema  the JSON schema of config.toml, for editors
    """
    if what == "schema":
        from supervisor.core.config import schema

        terminal.say(schema.text().rstrip("\n"))
        return Exit.OK
    found = _plan(place)
    if found is None:
        return Exit.USAGE
    plan = plan_from_json(found)
    terminal.say_all([ask.dumps(_hidden(plan))] if as_json else _toml(plan))
    return Exit.OK


def _toml(plan: Plan) -> list[str]:
    from supervisor.core.config.show import show

    return [escape(text) for text in show(plan).rstrip("\n").split("\n")]


def _hidden(plan: Plan) -> dict[str, Any]:
    from supervisor.core.config import redact

    return plan_to_json(redact.plan(plan))


def summary(plan: Mapping[str, Any]) -> str:
    """Return 1 consumer, 3 tasks (1 disabled)."""
    groups = {(child["kind"], child["group"]): child["enabled"] for child in plan["children"]}
    said = []
    for kind in ("consumer", "task"):
        enabled = [on for (found, _), on in groups.items() if found == kind]
        off = f" ({enabled.count(False)} disabled)" if not all(enabled) else ""
        said.append(report.many(len(enabled), kind) + off)
    return ", ".join(said)


def _plan(place: Place) -> Mapping[str, Any] | None:
    found = report.read(place)
    report.problems(place, found.get("warnings"), warning=True)
    if found["ok"]:
        for note in found.get("notes") or ():
            terminal.tell(f"note: {line(note)}")
        plan: Mapping[str, Any] = found["plan"]
        return plan
    count = report.problems(place, found.get("problems"))
    terminal.tell(report.many(count, "error"))
    return None
