"""RUNS IN THE USER'S TERMINAL: `supervisor run --local`: the task's function once, here, with its resources.

No supervisor, no fork, no schedule: breakpoint() works, Ctrl-C is Python's own. Nothing is written into the history.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any

from supervisor.cli import report, terminal
from supervisor.cli.place import Place
from supervisor.core import names
from supervisor.core.errors import Exit, NoSuchChild, SupervisorError, WrongUsage
from supervisor.core.escape import escape, line
from supervisor.core.spec import ChildSpec, Plan, TaskSettings, plan_from_json
from supervisor.core.words import short


def run_here(place: Place, name: str, slot: float | None) -> int:
    found = report.read(place)
    if not found["ok"]:
        count = report.problems(place, found.get("problems"))
        terminal.tell(f"{report.many(count, 'error')}, nothing was run")
        return Exit.USAGE
    plan = plan_from_json(found["plan"])
    spec, settings = _task(plan, name)
    sys.path.insert(0, plan.supervisor.project_dir)
    logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    begun = time.monotonic()
    try:
        result = _call(spec, settings, time.time() if slot is None else slot)
    except SupervisorError:
        raise
    except Exception as error:
        _show(error)
        terminal.tell(f"✗ {name} failed in {short(time.monotonic() - begun)}")
        return Exit.FAILED
    if result is not None:
        terminal.say(escape(repr(result)))
    terminal.tell(f"✓ {name} ok in {short(time.monotonic() - begun)}")
    return Exit.OK


def _task(plan: Plan, name: str) -> tuple[ChildSpec, TaskSettings]:
    tasks = [child for child in plan.children if isinstance(child.settings, TaskSettings)]
    for child in tasks:
        if child.group == name and isinstance(child.settings, TaskSettings):
            return child, child.settings
    if any(child.group == name for child in plan.children):
        raise WrongUsage(names.no_task(name))
    raise NoSuchChild(names.unknown("task", name, [child.group for child in tasks]))


def _call(spec: ChildSpec, settings: TaskSettings, slot: float) -> Any:
    from supervisor.child.loader import load
    from supervisor.child.resources import Resources

    resources = Resources(settings.resources)
    values: Mapping[str, Any] = {**settings.args, "ctx": _context(spec, slot)}
    call = resources.bind(load(settings.run), given=list(values), required=list(settings.args))
    if call.is_async:
        import asyncio

        return asyncio.run(_call_async(call, resources, values))
    with resources.opened(call.resources) as opened:
        return call({**values, **opened})


def _context(spec: ChildSpec, slot: float) -> Any:
    from supervisor.child.context import TaskContext

    return TaskContext(
        spec.group, slot=slot, kind="manual", previous=None, attempt=1, should_stop=lambda: False, progress=_progress
    )


def _progress(fraction: float, text: str) -> None:
    terminal.tell(f"{fraction:.0%} {line(text)}".rstrip())


async def _call_async(call: Any, resources: Any, values: Mapping[str, Any]) -> Any:
    async with resources.opened_async(call.resources) as opened:
        return await call({**values, **opened})


def _show(error: Exception) -> None:
    """The user's own traceback, without our frames: it is what they are after here."""
    tb = error.__traceback__
    while tb and tb.tb_next and "/supervisor/" in tb.tb_frame.f_code.co_filename:
        tb = tb.tb_next
    for text in "".join(traceback.format_exception(type(error), error, tb)).splitlines():
        terminal.tell(escape(text))
