"""RUNS IN THE USER'S TERMINAL: `supervisor report`: what was kept of a child's deaths; needs no supervisor."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import click

from supervisor import logs as form
from supervisor.cli import ask, options, terminal
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.core import culprit, names
from supervisor.core.errors import Exit, NoSuchChild, SupervisorError
from supervisor.core.escape import escape, line
from supervisor.core.status import Cell, Table
from supervisor.core.words import epoch, short, size, width

MOST = 4 * 1024 * 1024  # bytes of a file that is read
_BARS = "▁▂▃▄▅▆▇█"
_KEYS = ("child", "pid", "cause", "reason")
Found = Mapping[str, Any]


@verb(example="supervisor report notifications\nsupervisor report notifications --list")
@options.one_name
@click.option("--list", "as_list", is_flag=True, help="All that were kept, the latest last.")
@click.option("-n", "--number", type=click.IntRange(1), default=1, help="The how many-th from the end. Default 1.")
@options.as_json
def report(place: Place, name: str, as_list: bool, number: int, as_json: bool) -> int:
    """Show what is known of a child's last death that nobody asked for."""
    files = _files(place, name)
    if not files:
        _explain_none(place, name)
        return Exit.OK
    if as_list:
        found = [read(file) for file in files]
        terminal.say_all([ask.dumps(found)] if as_json else terminal.lines(_table(found), coloured=terminal.colour()))
        return Exit.OK
    if number > len(files):
        raise SupervisorError(f"{len(files)} reports are kept of {name}: supervisor report {name} --list")
    one = read(files[-number])
    terminal.say_all([ask.dumps(one)] if as_json else lines(one, os.path.dirname(place.config)))
    return Exit.OK


def lines(found: Found, project: str) -> list[str]:
    """Return the report as a person reads it; nothing in it is a control character."""
    made = [f"{line(str(found.get('child')))} died {_when(found)}: {line(str(found.get('reason')))}"]
    log = [form.parse(str(text), child="") for text in _list(found.get("log"))]
    for title, texts in (
        ("how", _how(found)),
        ("doing", _doing(found)),
        ("guilty", [_guilty(found, log, project)]),
        ("failures", _failures(found.get("failures"))),
        ("memory", [_curve(found, "rss")]),
        ("cpu", [_curve(found, "cpu")]),
        ("config", [_config(found.get("config"))]),
        ("stacks", culprit.readable(str(found.get("stacks") or ""))),
        ("last lines", [text for record in log for text in _logged(record)]),
        ("environment", _environment(found.get("environment"))),
        ("versions", _environment(found.get("versions"))),
    ):
        for at, text in enumerate(text for text in texts if text):
            made.append(f"  {title if not at else '':<11}  {escape(text)}".rstrip())
    return made


def read(file: str) -> Found:
    """Return the report of a file; whatever stands there, a person is told what was expected."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as opened:
            regular = stat.S_ISREG(os.fstat(fd).st_mode)
            found = json.loads(opened.read(MOST)) if regular else None
    except (OSError, ValueError, RecursionError) as error:
        raise SupervisorError(f"{file}: expected a report, found what cannot be read: {error}; remove it") from error
    if not isinstance(found, dict):
        raise SupervisorError(f"{file}: expected a report, found something else; remove it")
    return found


def _files(place: Place, name: str) -> list[str]:
    """Return the reports of a child, of all members of a consumer, the latest last."""
    try:
        names = os.listdir(place.paths.crashes)
    except OSError:
        return []
    mine = [each for each in names if each.endswith(".json") and _child(each) in (name, f"{name}:{_member(each)}")]
    return [f"{place.paths.crashes}/{each}" for each in sorted(mine, key=lambda each: each.rpartition("-")[2])]


def _child(file: str) -> str:
    return file.rpartition("-")[0]


def _member(file: str) -> str:
    return _child(file).rpartition(":")[2]


def _explain_none(place: Place, name: str) -> None:
    known = [each for kind in options.configured(place).values() for each in kind]
    if known and name.partition(":")[0] not in known:
        raise NoSuchChild(names.unknown("child", name, known))
    terminal.tell(f"no report of {name} in {place.short(place.paths.crashes)}: it never died unasked")


def _table(found: Sequence[Found]) -> Table:
    header = ("N", "TIME", "CHILD", "PID", "CAUSE", "REASON")
    rows = [
        tuple(Cell(line(str(each))) for each in (number, _when(one), *(one.get(key) for key in _KEYS)))
        for number, one in zip(range(len(found), 0, -1), found, strict=True)
    ]
    widths = [max(width(title), *(width(row[at].text) for row in rows)) for at, title in enumerate(header)]
    return Table(header, tuple(rows), tuple(widths))


def _when(found: Found) -> str:
    from datetime import datetime

    at = epoch(found.get("time"))
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S}" if at is not None else "at an unknown time"


def _how(found: Found) -> list[str]:
    how = f"signal {found['signal']}" if found.get("signal") else f"code {found.get('code')}"
    lived = _number(found.get("lived"))
    return [f"{found.get('cause')} ({how}), pid {found.get('pid')}" + (f", lived {short(lived)}" if lived else "")]


def _doing(found: Found) -> list[str]:
    if not found.get("phase"):
        return []
    since, budget, offset = _number(found.get("for")), _number(found.get("budget")), found.get("offset")
    what = f"{found['phase']} {found.get('subject') or ''}".rstrip()
    what += f"[{found.get('partition')}]@{offset}" if isinstance(offset, int) and offset >= 0 else ""
    what += f" for {short(since)}" if since is not None else ""
    return [what + (f", {short(budget)} allowed" if budget is not None else "")]


def _guilty(found: Found, log: Sequence[Found], project: str) -> str:
    """The line of a dump when there is one, else of the last traceback in the log."""
    place = culprit.guilty(str(found.get("stacks") or ""), project)
    last = None if place else culprit.latest([record.get("traceback") for record in log], project)
    return place or (" at ".join(part for part in last if part) if last else "")


def _failures(failures: object) -> list[str]:
    if not isinstance(failures, Mapping) or not failures.get("in_row"):
        return []
    same = _number(failures.get("same_error")) or 0
    first = f", the first at {form.local(failures.get('first')).strip()}" if failures.get("first") else ""
    return [f"{failures['in_row']} in a row{first}" + (f", the same error {same:.0f} times" if same > 1 else "")]


def _curve(found: Found, key: str) -> str:
    """Return ▁▁▂▅█  44M → 512M in 20s: memory as it was, CPU as the share between two heartbeats."""
    points = [p for p in _list(found.get("curve")) if isinstance(p, Mapping) and _number(p.get(key)) is not None]
    values = [float(p[key]) for p in points] if key == "rss" else list(_shares(points))
    if not values:
        return ""
    top = max(values) or 1.0
    bars = "".join(_BARS[min(len(_BARS) - 1, int(value / top * (len(_BARS) - 1) + 0.5))] for value in values)
    said = [size(value) if key == "rss" else f"{100 * value:.0f}%" for value in (values[0], values[-1])]
    over = short(max(0.0, (_number(points[0].get("age")) or 0.0) - (_number(points[-1].get("age")) or 0.0)))
    return f"{bars}  {said[0]} → {said[1]} in {over}"


def _shares(points: Sequence[Found]) -> Iterator[float]:
    for before, after in pairwise(points):
        took = (_number(before.get("age")) or 0.0) - (_number(after.get("age")) or 0.0)
        if took > 0:
            yield max(0.0, float(after["cpu"]) - float(before["cpu"])) / took


def _config(config: object) -> str:
    keys = ("where", "section", "target", "when")
    return "  ".join(str(config[key]) for key in keys if config.get(key)) if isinstance(config, Mapping) else ""


def _logged(record: Found) -> list[str]:
    head = f"{form.local(record.get('time')).strip()} {form.said(record, colour=False)}".strip()
    return [head, *(f"  {text}" for text in str(record.get("traceback") or "").splitlines())]


def _environment(found: object) -> list[str]:
    return [f"{key}={value}" for key, value in found.items()] if isinstance(found, Mapping) else []


def _list(found: object) -> list[Any]:
    return found if isinstance(found, list) else []


def _number(value: object) -> float | None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15
    return float(value) if good else None  # type: ignore[arg-type]
