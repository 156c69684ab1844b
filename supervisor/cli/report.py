"""RUNS IN THE USER'S TERMINAL: read config.toml in this process, and say all that is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from supervisor.cli import terminal
from supervisor.cli.place import Place
from supervisor.core.escape import escape, line

Problem = Mapping[str, Any]


def read(place: Place, *, check_targets: bool = True) -> Mapping[str, Any]:
    """Return {"ok", "plan", "problems", "warnings", "notes"}; `check_targets` imports user code in this process."""
    from supervisor.helper.read_config import read

    return read(place.config, os.environ, check_targets=check_targets)


def problems(place: Place, found: Iterable[Problem | str] | None, *, warning: bool = False) -> int:
    """Write them to stderr; return how many."""
    texts = [one(place, each, warning=warning) for each in found or ()]
    for text in texts:
        terminal.tell(text)
    return len(texts)


def one(place: Place, problem: Problem | str, *, warning: bool = False) -> str:
    """Return config.toml:23: tasks.notifications.every: expected …, found …; below it the line itself."""
    mark = "warning: " if warning else ""
    if isinstance(problem, str):
        return mark + line(problem)
    if isinstance(problem.get("rendered"), str):
        return mark + "\n".join(escape(each) for each in problem["rendered"].split("\n"))
    number = problem.get("line")
    where = place.short(str(problem.get("file") or place.config)) + (f":{number}" if number else "")
    key = f"{problem['key']}: " if problem.get("key") else ""
    return mark + line(f"{where}: {key}{problem.get('text', '')}")


def many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
