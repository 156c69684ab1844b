"""Changes config.toml as text: a toggle, a new table; comments, order and spacing stay.

Each result is read again before it is given back: nothing but what was asked for may differ.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any, Literal

import tomlkit

from supervisor.core.config.problems import did_you_mean, quoted
from supervisor.core.config.source import Source
from supervisor.core.errors import NoSuchChild, SupervisorError

_SECTIONS = ("tasks", "consumers")


def set_enabled(source: str, name: str, enabled: bool) -> str:
    """Return the text with `enabled` of this task or consumer.

    Raises NoSuchChild; SupervisorError when the text is no TOML.
    """
    wanted = _parse(source)
    section = _section_of(wanted, name)
    header = Source("", source, wanted).header((section, name))
    has_it = "enabled" in wanted[section][name]
    wanted[section][name]["enabled"] = enabled
    if header and not has_it:
        return _checked(_inserted(source.split("\n"), header, f"enabled = {str(enabled).lower()}"), wanted)
    document: Any = tomlkit.parse(source)
    document[section][name]["enabled"] = enabled
    return _checked(tomlkit.dumps(document), wanted)


def add_table(source: str, section: Literal["tasks", "consumers"], name: str, values: Mapping[str, Any]) -> str:
    """Return the text with [section.name] at its end. Raises SupervisorError when the name is there already."""
    wanted = _parse(source)
    if any(name in wanted.get(each, {}) for each in _SECTIONS):
        raise SupervisorError(f"config.toml has a task or consumer {quoted(name)} already")
    wanted.setdefault(section, {})[name] = dict(values)
    inner = tomlkit.table()
    for key, value in values.items():
        inner[key] = value
    outer = tomlkit.table(is_super_table=True)
    outer[name] = inner
    fresh = tomlkit.document()
    fresh[section] = outer
    newline = "\r\n" if "\r\n" in source else "\n"
    before = source.rstrip() + newline * 2 if source.strip() else ""
    return _checked(before + tomlkit.dumps(fresh).replace("\n", newline), wanted)


def _inserted(lines: list[str], line: int, text: str) -> str:
    """Put a line below the table's header: tomlkit would put it last, below the comment of the next table."""
    lines.insert(line, text + ("\r" if lines[line - 1].endswith("\r") else ""))
    return "\n".join(lines)


def _parse(source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(source)
    except (ValueError, RecursionError) as error:
        raise SupervisorError("config.toml is not valid, and was not changed; `supervisor check` says more") from error


def _section_of(data: Mapping[str, Any], name: str) -> str:
    known: list[str] = []
    for section in _SECTIONS:
        tables = data.get(section)
        if isinstance(tables, dict):
            if isinstance(tables.get(name), dict):
                return section
            known += tables
    hint = did_you_mean(name, known)
    raise NoSuchChild(f"config.toml has no task and no consumer {quoted(name)}{hint and f', {hint}'}")


def _checked(text: str, wanted: Mapping[str, Any]) -> str:
    try:
        same = tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        raise SupervisorError("config.toml is written in a way that cannot be changed safely: change it by hand")
    return text
