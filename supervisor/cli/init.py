"""RUNS IN THE USER'S TERMINAL: `supervisor init`, `supervisor add`: files to begin with; never overwrites one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from keyword import iskeyword

import click

from supervisor.cli import options, templates, terminal
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.core.errors import Exit, SupervisorError
from supervisor.core.escape import escape

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_SECTIONS = {"task": templates.TASK_SECTION, "consumer": templates.CONSUMER_SECTION}
_CODE = {"task": templates.TASK, "consumer": templates.CONSUMER}
_TESTS = {"task": templates.TASK_TEST, "consumer": templates.CONSUMER_TEST}


@verb(example="supervisor init myproject && cd myproject && supervisor start")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False))
def init(place: Place, folder: str) -> int:
    """Create a project: config.toml, a task, a consumer, their tests."""
    begin = {"task": "hello", "consumer": "events"}
    sections = {kind: _SECTIONS[kind].format(**_names(name)) for kind, name in begin.items()}
    files = {
        "config.toml": templates.CONFIG.format(**sections),
        ".gitignore": templates.IGNORE,
        **_code("task", "hello"),
        **_code("consumer", "events"),
    }
    if find_spec("fastapi"):
        files["app.py"] = templates.APP
    write(folder, files)
    terminal.say_all(f"created {escape(os.path.join(folder, name))}" for name in files)
    go = "" if folder == "." else f"cd {escape(folder)} && "
    terminal.tell(f"next: {go}supervisor start   (then, in another terminal: supervisor status)")
    return Exit.OK


@verb(example="supervisor add task invoices")
@click.argument("kind", type=click.Choice(["task", "consumer"]))
@click.argument("name")
def add(place: Place, kind: str, name: str) -> int:
    """Add a task or a consumer to the project: its code, a test, its section in config.toml."""
    _check(place, name)
    folder = os.path.dirname(place.config)
    files = _code(kind, name)
    write(folder, files)
    _append(place.config, "\n" + _SECTIONS[kind].format(**_names(name)))
    terminal.say_all(f"created {place.short(os.path.join(folder, file))}" for file in files)
    terminal.say(f"added [{kind}s.{name}] to {place.short(place.config)}")
    return Exit.OK


def write(folder: str, files: Mapping[str, str]) -> None:
    """Write all of the files, or none when one of them is there already."""
    package = os.path.join(folder, "tasks", "__init__.py")
    there = [name for name in files if os.path.lexists(os.path.join(folder, name))]
    if there:
        raise SupervisorError(f"{os.path.join(folder, there[0])} is there already; nothing was written")
    if not os.path.exists(package):
        files = {"tasks/__init__.py": templates.PACKAGE, **files}
    try:
        for name, text in files.items():
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            with open(path, "x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise SupervisorError(f"{folder}: {error}") from error


def _code(kind: str, name: str) -> dict[str, str]:
    names = _names(name)
    module = names["module"]
    return {
        f"tasks/{module}.py": _CODE[kind].format(**names),
        f"tests/test_{module}.py": _TESTS[kind].format(**names),
    }


def _names(name: str) -> dict[str, str]:
    return {"name": name, "module": name.replace("-", "_")}


def _check(place: Place, name: str) -> None:
    if not NAME.fullmatch(name):
        raise SupervisorError(f"{name!r} is no name: expected a-z, then a-z 0-9 _ -, at most 63 characters")
    from supervisor.core.config.fields import RESERVED

    if name in RESERVED or iskeyword(name):
        why = "Python has this word" if iskeyword(name) else "a child or a log of the supervisor's own has this name"
        raise SupervisorError(f"{name!r} is no name for it: {why}; nothing was written")
    if not os.path.exists(place.config):
        raise SupervisorError(f"there is no {place.short(place.config)} to add it to: supervisor init")
    if any(name in names for names in options.configured(place).values()):
        raise SupervisorError(f"{place.short(place.config)} has {name!r} already; nothing was written")


def _append(file: str, text: str) -> None:
    """At the end: a section there cannot change what stands before it."""
    try:
        with open(file, "rb") as opened:
            newline = "" if opened.read()[-1:] in (b"\n", b"") else "\n"
        with open(file, "a", encoding="utf-8") as opened:
            opened.write(newline + text)
    except OSError as error:
        raise SupervisorError(f"{file} cannot be written: {error}") from error
