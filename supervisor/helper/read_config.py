"""RUNS IN A HELPER, and in the command before it becomes the supervisor: reads config.toml, once, and checks all of it.

The result is plain JSON data: the parent takes a new plan from it and never imports the validator or user code.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Any

from supervisor import logs
from supervisor.core.config.load import Loaded, load
from supervisor.core.config.problems import ConfigError, Fault, Problem
from supervisor.core.config.source import MOST_BYTES, Source
from supervisor.core.config.source import read as parse
from supervisor.core.spec import Plan, plan_to_json
from supervisor.helper import librdkafka, targets

_HELP = "write one, or name it with --config FILE or in FORKWARDEN_CONFIG"


def read(file: str, env: Mapping[str, str], *, check_targets: bool = True, old: Plan | None = None) -> dict[str, Any]:
    """Return {"ok", "plan", "problems", "warnings", "notes"}; "plan" is None when there are problems.

    With `check_targets` user code is imported, for however long that takes: the caller sets the deadline.
    `old` is the plan in force, when there is one.
    """
    path = os.path.abspath(file)
    shown = logs.typed(path)
    try:
        raw, warnings = _bytes(path, shown)
        project_dir = os.path.dirname(path)
        loaded = load(raw, file=shown, env=env, project_dir=project_dir, librdkafka=librdkafka.installed())
        warnings += _targets(loaded, parse(raw, shown), old) if check_targets else []
    except ConfigError as error:
        return {"ok": False, "plan": None, "problems": _json(error.problems), "warnings": [], "notes": []}
    warnings += loaded.warnings
    plan = plan_to_json(loaded.plan)
    return {"ok": True, "plan": plan, "problems": [], "warnings": _json(warnings), "notes": list(loaded.notes)}


def _json(problems: list[Problem] | tuple[Problem, ...]) -> list[dict[str, object]]:
    return [problem.to_json() for problem in problems]


def _targets(loaded: Loaded, source: Source, old: Plan | None) -> list[Problem]:
    """Return warnings. Raises ConfigError for what no retry can mend."""
    faults: list[Fault] = targets.faults(loaded.plan, old)
    errors = [source.problem(fault) for fault in faults if not fault.warning]
    if errors:
        raise ConfigError(errors)
    return [source.problem(fault) for fault in faults]


def _bytes(path: str, shown: str) -> tuple[bytes, list[Problem]]:
    """Read the file once: what an editor does to it meanwhile is seen next time."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hold us up
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                found = "a folder" if stat.S_ISDIR(status.st_mode) else "something that is no plain file"
                raise ConfigError([Problem(file=shown, expected="a file", found=found)])
            return _all(fd), _rights(status, os.stat(os.path.dirname(path)), shown)
        finally:
            os.close(fd)
    except FileNotFoundError:
        raise ConfigError([Problem(file=shown, expected="a file", found="nothing", hint=_HELP)]) from None
    except OSError as error:
        raise ConfigError([Problem(file=shown, expected="a file to read", found=f"{error.strerror}")]) from None


def _all(fd: int) -> bytes:
    """One byte more than is allowed shows that there is too much."""
    pieces, left = [], MOST_BYTES + 1
    while left and (piece := os.read(fd, left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _rights(file: os.stat_result, folder: os.stat_result, shown: str) -> list[Problem]:
    """Who can write the file or its folder decides which code runs here.

    Raises ConfigError when that is anyone on this host.
    """
    places = [("the file", file)]
    if not folder.st_mode & stat.S_ISVTX:  # in a folder like /tmp nobody can replace another's file
        places.append(("its folder", folder))
    anyone = [place for place, status in places if status.st_mode & stat.S_IWOTH]
    if anyone:
        found = f"{' and '.join(anyone)} writable by everyone"
        hint = "who writes here decides what is run: chmod o-w"
        raise ConfigError([Problem(file=shown, expected="write access for its owner only", found=found, hint=hint)])
    return [Problem(file=shown, found=text) for place, status in places if (text := _odd(place, status))]


def _odd(place: str, status: os.stat_result) -> str:
    if status.st_uid not in (0, os.geteuid()):
        return f"{place} belongs to another user (uid {status.st_uid}), who thereby decides what is run here"
    if status.st_mode & stat.S_IWGRP and status.st_gid not in (0, os.getegid()):
        return f"{place} is writable by the group {status.st_gid}, whose members decide what is run here"
    return ""
