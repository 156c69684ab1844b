"""Which keys of a task's schedule go together: where its grid begins, and between which bounds it has slots."""

from __future__ import annotations

from collections.abc import Iterator

from supervisor.core import durations
from supervisor.core.config.document import Task
from supervisor.core.config.moments import AUTO, spread
from supervisor.core.config.problems import Fault, Path
from supervisor.core.schedule import wall
from supervisor.core.schedule.slots import trigger
from supervisor.core.spec import TaskSettings


def offset(name: str, task: Task) -> float:
    """Return the offset in seconds, whatever was written."""
    return spread(name, task.every or 0.0) if task.offset == AUTO else float(task.offset)


def faults(task: Task, timezone: str, path: Path) -> Iterator[Fault]:
    """`timezone`: that of [supervisor]."""
    wrong = [*_grid(task, path), *_days(task, path), *_bounds(task, task.timezone or timezone, path)]
    yield from wrong
    if not wrong and (task.start or task.end):
        yield from _no_slot(task, task.timezone or timezone, path)


def _grid(task: Task, path: Path) -> Iterator[Fault]:
    if task.every is None:
        for key in ("offset", "align"):
            if getattr(task, key) not in (0.0, "epoch"):
                hint = "at, cron and once say their times themselves: leave it out"
                yield Fault(path=(*path, key), expected=f"`{key}` together with `every`", hint=hint)
        return
    if task.align == "start" and task.start is None:
        hint = 'write start = "2027-01-31T09:00:00Z" too: the same grid on every host'
        yield Fault(path=(*path, "align"), expected="the key start with it", found="none", hint=hint)
    if task.offset != AUTO and task.offset >= task.every:
        expected = f"less than every ({durations.text(task.every)})"
        yield Fault(path=(*path, "offset"), expected=expected, found=durations.text(task.offset))


def _days(task: Task, path: Path) -> Iterator[Fault]:
    if twice := [day for day in task.on if task.on.count(day) > 1]:
        yield Fault(path=(*path, "on"), expected="each day once", found=f"{twice[0]} {len(twice)} times")


def _bounds(task: Task, timezone: str, path: Path) -> Iterator[Fault]:
    given = [key for key in ("start", "end") if getattr(task, key)]
    if task.once is not None:
        for key in given:
            hint = "once is one moment already: leave it out"
            yield Fault(path=(*path, key), expected=f"`{key}` together with every, at or cron", hint=hint)
    elif task.start and task.end:
        zone = wall.zone(timezone)
        if wall.bound("end", task.end, zone)[1] < wall.bound("start", task.start, zone)[0]:
            hint = "a task never runs before its start or after its end"
            yield Fault(path=(*path, "end"), expected=f"not before start ({task.start})", hint=hint)


def _no_slot(task: Task, timezone: str, path: Path) -> Iterator[Fault]:
    made = TaskSettings(
        run="",
        every=task.every,
        at=tuple(task.at or ()),
        cron=task.cron,
        on=tuple(task.on),
        timezone=timezone,
        start=task.start,
        end=task.end,
        align=task.align,
        offset=offset(str(path[-1]), task),
    )
    if trigger(made).next_after(0.0) is None:
        found = "none: the task would never run"
        key = "end" if task.end else "start"
        yield Fault(path=(*path, key), expected="a slot between start and end", found=found)
