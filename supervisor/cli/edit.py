"""RUNS IN THE USER'S TERMINAL: `--save`: the toggle goes into config.toml, whose comments stay."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence

from supervisor.cli import ask, report, terminal
from supervisor.cli.place import Place
from supervisor.core.errors import Exit, NotRunning, SupervisorError


def save(place: Place, names: Sequence[str], *, enabled: bool) -> int:
    """Write `enabled` of each name; then have the running supervisor, if there is one, read the file."""
    from supervisor.core.config.edit import set_enabled

    text = _read(place.config)
    for name in names:
        text = set_enabled(text, name, enabled)
    _replace(place.config, text)
    for name in names:
        terminal.say(f"{name}: {'enabled' if enabled else 'disabled'} in {place.short(place.config)}")
    return _applied(place)


def _applied(place: Place) -> int:
    """An override of the same name ends when that key changes in the file."""
    try:
        reply = ask.post(place, "/v1/reload", {"dry_run": False}, timeout=60.0)
    except NotRunning:
        terminal.tell("the supervisor is not running: it holds from the next start on")
        return Exit.OK
    if report.problems(place, reply.get("problems")):
        terminal.tell("config.toml was written but not applied: it has other errors")
        return Exit.USAGE
    return Exit.OK


def _read(file: str) -> str:
    try:
        with open(file, encoding="utf-8", newline="") as opened:
            return opened.read()
    except (OSError, UnicodeDecodeError) as error:
        raise SupervisorError(f"{file} cannot be read: {error}") from error


def _replace(file: str, text: str) -> None:
    """All or nothing, with the rights it had. A link is followed: its target is what is edited."""
    target = os.path.realpath(file)
    folder = os.path.dirname(target)
    try:
        mode = os.stat(target).st_mode & 0o7777
        fd, made = tempfile.mkstemp(prefix=".config-", suffix=".toml", dir=folder)
        try:
            with open(fd, "w", encoding="utf-8", newline="") as opened:
                opened.write(text)
                opened.flush()
                os.fchmod(fd, mode)
                os.fsync(fd)
            os.replace(made, target)
        except BaseException:
            os.unlink(made)
            raise
    except OSError as error:
        raise SupervisorError(f"{file} cannot be written: {error}; nothing was changed") from error
