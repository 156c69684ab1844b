"""A plan as TOML text, all defaults filled in, secrets hidden: what `config show` prints.

Reading it again gives an equal plan, but for the secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomlkit

from supervisor.core.config import keys, redact
from supervisor.core.spec import BrokerSettings, ChildSpec, Plan


def show(plan: Plan) -> str:
    safe = redact.plan(plan)
    supervisor = {"grace_period": keys.written("grace_period", safe.supervisor.grace_period)}
    sections: dict[str, Any] = {
        "supervisor": supervisor | _table(safe.supervisor, keys.SUPERVISOR),
        "resources": {},
        "alerts": _table(safe.supervisor, keys.ALERTS),
        "tasks": {},
        "consumers": {},
    }
    for child in safe.children:
        if not isinstance(child.settings, BrokerSettings):  # it follows from the consumers
            sections["resources"] = dict(child.settings.resources)
            sections[f"{child.kind}s"][child.group] = _child(child)
    return tomlkit.dumps(_document(sections))


def _child(child: ChildSpec) -> dict[str, Any]:
    settings = _table(child.settings, keys.SETTINGS[child.kind])
    return {"enabled": child.enabled, **settings, **_table(child.policy, keys.POLICY)}


def _table(fields: Any, wanted: keys.Keys) -> dict[str, Any]:
    """Return the keys that have something to say; two of one path's beginning go into one inner table."""
    table: dict[str, Any] = {}
    for field, path in wanted.items():
        value = keys.written(field, getattr(fields, field))
        if value is not None and value not in ([], {}):
            inner = table
            for key in path[:-1]:
                inner = inner.setdefault(key, {})
            inner[path[-1]] = value
    return table


def _document(sections: Mapping[str, Any]) -> tomlkit.TOMLDocument:
    document = tomlkit.document()
    for name, section in sections.items():
        if section and name in ("tasks", "consumers"):
            document[name] = _section(section, super_table=True)
        elif section:
            document[name] = _section(section, super_table=False)
    return document


def _section(values: Mapping[str, Any], *, super_table: bool) -> tomlkit.items.Table:
    table = tomlkit.table(is_super_table=super_table)
    for key, value in values.items():
        table[key] = _section(value, super_table=False) if super_table else _inline(value)
    return table


def _inline(value: Any) -> Any:
    match value:
        case str():
            return value.replace("${", "$${")
        case Mapping():
            table = tomlkit.inline_table()
            for key, inner in value.items():
                table[key] = _inline(inner)
            return table
        case list():
            return [_inline(inner) for inner in value]
    return value
