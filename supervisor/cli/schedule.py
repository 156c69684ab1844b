"""RUNS IN THE USER'S TERMINAL: `supervisor schedule`: the next slots of all tasks, by time; needs no supervisor."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from supervisor.cli import ahead, ask, options, report, terminal
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.core.errors import Exit
from supervisor.core.escape import line
from supervisor.core.prose import shorten
from supervisor.core.schedule import outlook
from supervisor.core.schedule.slots import Trigger
from supervisor.core.spec import ChildSpec, plan_from_json
from supervisor.core.status import Cell, Table, note
from supervisor.core.words import epoch, short, width

_HEADER = ("SLOT", "IN", "TASK", "NOTE", "SCHEDULE")
_LEAST = 20  # columns of the schedule, however narrow the terminal
_AT_ONCE = 500  # slots of one task, when days are asked for
_FAR = 100 * 366 * 86400.0


@dataclass(frozen=True, slots=True)
class Task:
    spec: ChildSpec
    trigger: Trigger
    durations: list[float]
    told: Mapping[str, Any]  # what a running supervisor says of it

    @property
    def enabled(self) -> bool:
        return bool(self.told.get("enabled", self.spec.enabled))

    @property
    def override(self) -> Mapping[str, Any] | None:
        found = self.told.get("override")
        return found if isinstance(found, Mapping) else None

    def overridden(self, slot: float) -> bool:
        until = epoch(self.override.get("until")) if self.override else None
        return self.override is not None and (until is None or slot < until)

    def enabled_at(self, slot: float) -> bool:
        return self.spec.enabled if self.override and not self.overridden(slot) else self.enabled

    @property
    def paused(self) -> str | None:
        return str(self.told["paused"]) if self.told.get("paused") else None


@verb(example="supervisor schedule\nsupervisor schedule nightly --days 3")
@options.names(required=False)
@click.option("--next", "amount", type=click.IntRange(1, 10_000), metavar="N", help="How many of each task (3).")
@click.option("--days", type=click.FloatRange(0, 3660, min_open=True), metavar="D", help="Those within so many days.")
@options.as_json
def schedule(place: Place, names: Sequence[str], amount: int | None, days: float | None, as_json: bool) -> int:
    """Show the next slots of tasks, and what a change of the clock does to them."""
    found = report.read(place, check_targets=False)
    if not found["ok"]:
        count = report.problems(place, found.get("problems"))
        terminal.tell(report.many(count, "error"))
        return Exit.USAGE
    told = ahead.toggles(place)
    chosen = ahead.tasks(plan_from_json(found["plan"]), names)
    tasks = {
        name: Task(spec, ahead.due(spec), ahead.durations(place, name), told.get(name, {}))
        for name, spec in chosen.items()
    }
    now = time.time()
    most = amount or (3 if days is None else _AT_ONCE)
    until = now + (_FAR if days is None else days * 86400)
    slots = outlook.coming({name: task.trigger for name, task in tasks.items()}, now, until, most)
    more = ahead.cut(slots, {name: task.trigger for name, task in tasks.items()}, until)
    if as_json:
        terminal.say(ask.dumps(_json(slots, tasks, now, more)))
    else:
        _show(slots, tasks, now)
        for name in more if days is not None and amount is None else ():
            terminal.tell(line(f"{name}: only the first {most} slots are shown (--next N for more)"))
    return Exit.OK


def _show(slots: Sequence[outlook.Coming], tasks: Mapping[str, Task], now: float) -> None:
    if slots:
        made = table(slots, tasks, now, terminal.columns())
        terminal.say_all(terminal.lines(made, coloured=terminal.colour()))
    for name, task in tasks.items():
        if not any(each.task == name for each in slots):
            terminal.tell(line(f"{name}: no slot to come in this time ({task.trigger.describe()})"))
        for text in outlook.warnings(task.trigger, task.durations, now):
            terminal.tell(line(f"warning: {name}: {text}"))


def table(slots: Sequence[outlook.Coming], tasks: Mapping[str, Task], now: float, columns: int | None) -> Table:
    rows = [_row(each, tasks[each.task], now) for each in slots]
    widths = [max(width(h), *(width(row[at].text) for row in rows)) for at, h in enumerate(_HEADER)]
    if columns is not None:
        spare = columns - sum(widths[:-2]) - 2 * (len(widths) - 1)
        widths[-2] = min(widths[-2], max(_LEAST, spare - _LEAST))
        widths[-1] = min(widths[-1], max(_LEAST, spare - widths[-2]))
    cells = tuple((*row[:-2], *(Cell(shorten(c.text, w), c.style) for c, w in _ends(row, widths))) for row in rows)
    return Table(_HEADER, cells, tuple(widths))


def _ends(row: Sequence[Cell], widths: Sequence[int]) -> Iterable[tuple[Cell, int]]:
    return zip(row[-2:], widths[-2:], strict=True)


def _row(found: outlook.Coming, task: Task, now: float) -> tuple[Cell, ...]:
    enabled = task.enabled_at(found.slot)
    off = "" if enabled else "disabled"
    paused = "paused" if task.paused and enabled else ""
    why = line(note(task.told, now)) if task.overridden(found.slot) else ""
    notes = [part for part in (off, why, paused, outlook.said(found, task.trigger)) if part]
    return (
        Cell(_shown(found.slot, task)),
        Cell(short(found.slot - now)),
        Cell(line(found.task)),
        Cell(", ".join(notes) or "-", "yellow" if found.shift else "dim"),
        Cell(line(task.trigger.describe()), "dim"),
    )


def _shown(slot: float, task: Task) -> str:
    """The clock of the task's zone where it follows one, else the person's; the offset says which."""
    when = datetime.fromtimestamp(slot, UTC).astimezone(outlook.zone(task.trigger))
    return f"{when:%a %Y-%m-%d %H:%M:%S %z}"


def _json(
    slots: Sequence[outlook.Coming], tasks: Mapping[str, Task], now: float, more: Sequence[str]
) -> dict[str, Any]:
    return {
        "slots": [_slot(each, tasks[each.task]) for each in slots],
        "tasks": [_task(name, task, now) | {"more": name in more} for name, task in tasks.items()],
    }


def _slot(found: outlook.Coming, task: Task) -> dict[str, Any]:
    zone = outlook.zone(task.trigger)
    when = datetime.fromtimestamp(found.slot, UTC)
    return {
        "task": found.task,
        "slot": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "wall": when.astimezone(zone).isoformat() if zone else None,
        "dst": found.shift,
        "enabled": task.enabled_at(found.slot),
    }


def _task(name: str, task: Task, now: float) -> dict[str, Any]:
    zone = outlook.zone(task.trigger)
    return {
        "task": name,
        "schedule": task.trigger.describe(),
        "timezone": zone.key if zone else None,
        "enabled": task.enabled,
        "override": task.override,
        "paused": task.paused,
        "interval": outlook.interval(task.trigger, now),
        "runs": len(task.durations),
        "p95": outlook.p95(task.durations),
        "warnings": list(outlook.warnings(task.trigger, task.durations, now)),
    }
