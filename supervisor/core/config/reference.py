"""The tables of all keys of config.toml for the README: key, default, meaning.

`python -m supervisor.core.config.reference` prints them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from supervisor.core.config.models import Keeping
from supervisor.core.config.schema import schema

_TITLES = {"tasks": "tasks.NAME", "consumers": "consumers.NAME"}
_SHARED = "And these, for every child. A task or consumer may have its own, which comes before:"
_HEAD = ["", "| key | default | meaning |", "|---|---|---|"]

Table = Mapping[str, Any]


def reference() -> str:
    """Return Markdown, one table of keys for each table of config.toml."""
    found = schema()
    return "\n".join(line for name in found["properties"] for line in _section(found, name))


def _section(found: Table, name: str) -> Iterator[str]:
    section = found["properties"][name]
    table = _resolved(found, section)
    table = _resolved(found, next(iter(table.get("patternProperties", {"": table}).values())))
    yield f"**`[{_TITLES.get(name, name)}]`** {_cell(section['description'])}."
    properties = table.get("properties", {})
    shared = [key for key in properties if key in Keeping.model_fields]
    own = [key for key in properties if key not in shared]
    if own:
        yield from _HEAD
        yield from (row for key in own for row in _rows(found, table, key))
    if name == "supervisor":
        yield from ["", _SHARED, *_HEAD]
        yield from (row for key in shared for row in _rows(found, table, key))
    yield ""


def _rows(found: Table, table: Table, key: str, above: str = "") -> Iterator[str]:
    entry = table["properties"][key]
    inner = _resolved(found, entry)
    if inner.get("properties"):
        yield from (row for each in inner["properties"] for row in _rows(found, inner, each, f"{above}{key}."))
        return
    choice = " · ".join(f"`{word}`" for word in entry.get("enum", []))
    meaning = ". ".join(part for part in (_cell(entry["description"]), choice) if part)
    yield f"| `{above}{key}` | {_default(table, key)} | {meaning} |"


def _default(table: Table, key: str) -> str:
    if key in table.get("required", []):
        return "*required*"
    value = table["properties"][key].get("default")
    return "" if value in (None, []) else f"`{json.dumps(value)}`"


def _resolved(found: Table, entry: Table) -> Table:
    name = entry.get("$ref", "").rpartition("/")[2]
    resolved: Table = found["$defs"][name] if name else entry
    return resolved


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    import sys

    sys.stdout.write(reference())
