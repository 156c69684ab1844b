"""RUNS IN THE USER'S TERMINAL: `supervisor doctor`: is everything here that a start needs? Changes nothing.

One check after the other, each in a process of its own with a deadline, each line printed as it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from supervisor.cli import ask, options, report, terminal
from supervisor.cli.checks import apart, machine, project, state
from supervisor.cli.checks.apart import Answer
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.core.errors import Exit
from supervisor.core.escape import line
from supervisor.core.spec import Plan, plan_from_json
from supervisor.helper.topics import topics

ASK_WITHIN = 4.0  # seconds for the broker; the process around it has one more
_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("–", "dim")}


@dataclass(frozen=True, slots=True)
class Check:
    """`ok` is None when there was nothing to check."""

    name: str
    ok: bool | None
    text: str
    fix: str


@verb(example="supervisor doctor\nsupervisor doctor --json")
@options.as_json
def doctor(place: Place, as_json: bool) -> int:
    """Check the machine, the project and all that it needs; each line says what to do. Changes nothing."""
    found = []
    for check in examine(place):
        found.append(check)
        if not as_json:
            terminal.say(shown(check))
            terminal.flush()
    failed = [check for check in found if check.ok is False]
    if as_json:
        terminal.say(ask.dumps({"ok": not failed, "checks": [asdict(check) for check in found]}))
    else:
        terminal.tell(f"{report.many(len(failed), 'problem')} in {len(found)} checks")
    return Exit.FAILED if failed else Exit.OK


def shown(check: Check) -> str:
    mark, colour = _MARKS[check.ok]
    fix = f" → {check.fix}" if check.fix else ""
    return f"{terminal.paint(mark, colour, coloured=terminal.colour())} {check.name:<12} {line(check.text + fix)}"


def examine(place: Place) -> Iterator[Check]:
    yield _check("python", machine.python)
    yield _check("kernel", machine.kernel)
    yield _check("supervisord", machine.supervisord)
    yield _check("bytecode", machine.bytecode)
    yield _check("clock", machine.clock, [place.config, machine.__file__])
    try:
        found = apart.call(project.read, place)
    except apart.Failed as error:
        found = {"ok": False, "problems": [{"text": str(error)}]}
    yield _check("config", project.config, place, found)
    if found["ok"]:
        yield from _of_the_plan(place, plan_from_json(found["plan"]), found)
    yield _check("state folder", state.rights, place.state)
    yield _check("disk", state.disk, place.state)
    yield _file_system(place)
    yield _check("supervisor", state.running, place.sockets)


def _of_the_plan(place: Place, plan: Plan, found: project.Found) -> Iterator[Check]:
    yield _check("targets", project.targets, place, found)
    yield _check("zones", project.zones, plan)
    yield from _brokers(plan)
    for name, target in project.resources(plan).items():
        yield _check(name, project.opens, plan, place.state, name, target)
    yield _check("descriptors", machine.descriptors, plan)
    yield _check("processes", machine.processes, plan)
    yield _check("memory", machine.memory, plan)


def _brokers(plan: Plan) -> Iterator[Check]:
    clusters = project.clusters(plan)
    if not clusters:
        yield Check("broker", None, "no consumer needs one", "")
    for settings in clusters:
        names: list[str] | str = "not asked"
        if settings.bootstrap_servers != project.EMBEDDED:
            try:
                names = apart.call(topics, settings, ASK_WITHIN)
            except apart.Failed as error:
                names = str(error)
        yield Check("broker", *project.broker(settings, names))
        if isinstance(names, list):
            yield Check("topics", *project.missing(plan, settings, names))


def _file_system(place: Place) -> Check:
    check = _check("file system", state.file_system, place.state)
    if not check.ok:  # it may have been ended in the middle
        try:
            apart.call(state.clean, place.state)
        except apart.Failed:
            pass  # the check itself says what is wrong there
    return check


def _check(name: str, function: Callable[..., Answer], *args: Any) -> Check:
    try:
        return Check(name, *Answer(*apart.call(function, *args)))
    except apart.Failed as error:
        fix = "see what it waits for" if "within" in str(error) else "supervisor check"
        return Check(name, False, str(error), fix)
