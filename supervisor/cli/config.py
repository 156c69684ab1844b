"""RUNS IN THE USER'S TERMINAL: `supervisor check` and `supervisor config`: nothing is started, nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from supervisor.cli import ask, report, terminal
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.core.errors import Exit
from supervisor.core.escape import line

Plan = Mapping[str, Any]


@verb(example="supervisor check && git commit config.toml")
def check(place: Place) -> int:
    """Check config.toml without starting anything; all errors at once."""
    plan = _plan(place)
    if plan is None:
        return Exit.USAGE
    terminal.say(f"{place.short(place.config)} ok: {summary(plan)}")
    return Exit.OK


@verb(example="supervisor config show\nsupervisor config schema > supervisor.schema.json")
@click.argument("what", type=click.Choice(["show", "schema"]))
@click.option("--json", "as_json", is_flag=True, help="Data for programs.")
def config(place: Place, what: str, as_json: bool) -> int:
    """Show what config.toml comes down to, secrets hidden, or the schema for your editor."""
    if what == "schema":
        from supervisor.core.config import schema

        terminal.say(ask.dumps(schema.schema()))
        return Exit.OK
    plan = _plan(place)
    if plan is None:
        return Exit.USAGE
    shown = _redacted(plan)
    terminal.say_all([ask.dumps(shown)] if as_json else text(shown))
    return Exit.OK


def summary(plan: Plan) -> str:
    """Return 1 consumer, 3 tasks (1 disabled)."""
    groups = {(child["kind"], child["group"]): child["enabled"] for child in plan["children"]}
    said = []
    for kind in ("consumer", "task"):
        enabled = [on for (found, _), on in groups.items() if found == kind]
        off = f" ({enabled.count(False)} disabled)" if not all(enabled) else ""
        said.append(report.many(len(enabled), kind) + off)
    return ", ".join(said)


def text(plan: Plan) -> Iterator[str]:
    """Yield sections with one key a line, durations in seconds."""
    yield from _section("supervisor", plan["supervisor"])
    for child in plan["children"]:
        yield ""
        head = {"enabled": child["enabled"]}
        title = f"{child['kind']}s.{child['name']}" if child["kind"] != "broker" else "broker"
        yield from _section(f"{title}   # {child['where']}".rstrip(" #"), {**head, **child["settings"]})
        yield "  # how it is kept alive"
        yield from _keys(child["policy"])


def _section(title: str, values: Mapping[str, Any]) -> Iterator[str]:
    name, _, comment = title.partition("   ")
    yield line(f"[{name}]") + (f"   {line(comment)}" if comment else "")
    yield from _keys(values)


def _keys(values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        if value not in (None, (), [], {}):
            yield f"  {line(str(key))} = {ask.dumps(value, indent=None)}"


def _plan(place: Place) -> Plan | None:
    found = report.read(place)
    report.problems(place, found.get("warnings"), warning=True)
    if found["ok"]:
        plan: Plan = found["plan"]
        return plan
    count = report.problems(place, found.get("problems"))
    terminal.tell(report.many(count, "error"))
    return None


def _redacted(plan: Plan) -> Plan:
    from supervisor.core.config import redact
    from supervisor.core.spec import plan_from_json, plan_to_json

    return plan_to_json(redact.plan(plan_from_json(plan)))


__all__: Sequence[str] = ["check", "config", "summary", "text"]
