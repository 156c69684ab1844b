"""RUNS IN THE USER'S TERMINAL: stop, restart, enable, disable."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from supervisor.cli import ask, options, terminal
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.core.errors import Exit, SupervisorError
from supervisor.core.escape import line
from supervisor.core.words import short

LOOK = 0.05  # seconds between two tries at the lock, which nothing announces


@verb(example="supervisor stop")
@click.option("--now", is_flag=True, help="Kill what has not stopped after two seconds.")
def stop(place: Place, now: bool) -> int:
    """Stop the supervisor and all its children; wait until gone."""
    begun = time.monotonic()
    ask.post(place, "/v1/stop", {"now": now})
    _wait_gone(place)
    terminal.say(f"stopped in {short(time.monotonic() - begun)}")
    return Exit.OK


@verb(example="supervisor restart notifications")
@options.names(required=True)
@options.now_flag
def restart(place: Place, names: Sequence[str], now: bool) -> int:
    """Replace the process of children; the run or records in hand finish first."""
    return _each(names, lambda name: _told(ask.order(place, name, "restart", {"now": now}), f"{name}: restarting"))


@verb(example="supervisor enable task2")
@options.names(required=True)
@click.option("--note", default="", metavar="TEXT", help="Why; status shows it.")
@click.option("--save", is_flag=True, help="Write it into config.toml; comments are kept.")
@options.now_flag
def enable(place: Place, names: Sequence[str], note: str, save: bool, now: bool) -> int:
    """Switch children on. Ends an override; without --save config.toml stays as it is."""
    if save:
        return _save(place, names, enabled=True)
    body = {"note": note, "now": now}
    return _each(names, lambda name: _told(ask.order(place, name, "enable", body), f"{name}: enabled"))


@verb(example='supervisor disable task1 --for 2h --note "db migration"')
@options.names(required=True)
@click.option("--for", "period", type=options.Duration(), metavar="TIME", help="Then as config.toml says again.")
@click.option("--note", default="", metavar="TEXT", help="Why; status shows it.")
@click.option("--save", is_flag=True, help="Write it into config.toml; comments are kept.")
@options.now_flag
def disable(place: Place, names: Sequence[str], period: float | None, note: str, save: bool, now: bool) -> int:
    """Switch children off. They stay off, over restarts and reboots, until enabled."""
    if save and (period is not None or note):
        raise click.UsageError("--save writes enabled = false into config.toml: --for and --note have no place there")
    if save:
        return _save(place, names, enabled=False)
    body = {"for": period, "note": note, "now": now}
    end = f" for {short(period)}" if period is not None else ""
    return _each(names, lambda name: _told(ask.order(place, name, "disable", body), f"{name}: disabled{end}"))


def _each(names: Sequence[str], call: Callable[[str], str]) -> int:
    """Do it for every name; say all that failed, end with the code of the first."""
    failed: list[SupervisorError] = []
    for name in names:
        try:
            terminal.say(call(name))
        except SupervisorError as error:
            failed.append(error)
            if error.exit == Exit.NOT_RUNNING:
                break
    for other in failed[1:]:
        terminal.tell(f"error: {line(str(other))}")
    if failed:
        raise failed[0]
    return Exit.OK


def _told(reply: Mapping[str, Any], otherwise: str) -> str:
    """The supervisor may know better what will happen."""
    text = reply.get("text")
    return line(text if isinstance(text, str) else otherwise)


def _save(place: Place, names: Sequence[str], *, enabled: bool) -> int:
    from supervisor.cli.edit import save

    return save(place, names, enabled=enabled)


def _wait_gone(place: Place) -> None:
    """Return when its lock is free: the kernel frees it with the process. A pid may mean another process here."""
    while not _free(place.paths.lock):
        time.sleep(LOOK)


def _free(lock: str) -> bool:
    """Whether nobody holds the lock; taken for an instant only, and shared, as the next start wants it too."""
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
