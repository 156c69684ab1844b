"""What stands below the table of a status: notes, what is wrong, and what to type, in the width of the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from supervisor.core.escape import line
from supervisor.core.prose import gist, middle, wrap
from supervisor.core.status import Facts, Problem, children, healthy, last_error, verdict
from supervisor.core.words import width

MOST = 5  # of a kind: the table must stay in sight
REASON_LEAST = 25  # columns; with less the command gets a line of its own
_BAD_RUNS = ("failed", "timed_out", "killed", "lost")
_DEMO = "demo: Kafka is the embedded broker, in memory; set kafka.bootstrap_servers for a real one"
_OLD_CONFIG = "config.toml has errors, the configuration before it is in force (supervisor check)"
Line = tuple[str, str]  # and its style


def footer(status: Facts, columns: int | None) -> list[Line]:
    """Return the lines and their styles. `columns`: None cuts nothing and leaves nothing out."""
    about = status.get("supervisor") or {}
    said = [(f"note: {line(str(note))}", "dim") for note in about.get("notes") or []]
    said += [(_DEMO, "dim")] if about.get("demo") else []
    said += [(_OLD_CONFIG, "red")] if (about.get("config") or {}).get("problems") else []
    wrapped = [(each, style) for text, style in said for each in wrap(text, columns, hanging=2)]
    problems = verdict(status).problems
    return [*wrapped, *_listed("problem", problems, columns), *_listed("warning", warnings(status), columns)]


def warnings(status: Facts) -> list[Problem]:
    """Return the healthy tasks whose last run was not: no problem of the supervision, and yet to be known."""
    made = []
    for child in children(status):
        last = child.get("last_run")
        how = str(last.get("state")) if isinstance(last, Mapping) else ""
        if how in _BAD_RUNS and child.get("enabled", True) and healthy(child):
            name = line(str(child.get("name", "?")))
            why = line(gist(last_error(child)))
            made.append(Problem(name, f"the last run of {name} {_said(how)}" + (f": {why}" if why else "")))
    return made


def _said(how: str) -> str:
    return {"failed": "failed", "timed_out": "timed out"}.get(how, f"was {how}")


def _listed(what: str, found: list[Problem] | tuple[Problem, ...], columns: int | None) -> Iterator[Line]:
    start = f"{len(found)} {what}{'s' if len(found) > 1 else ''}: "
    shown = found if columns is None else found[:MOST]
    for index, problem in enumerate(shown):
        for text in _fitted(start if not index else " " * len(start), problem, columns):
            yield text, "yellow"
    if left := len(found) - len(shown):
        how = "supervisor status --check" if what == "problem" else "supervisor status | cat"
        yield f"{' ' * len(start)}and {left} more ({how})", "yellow"


def _fitted(start: str, problem: Problem, columns: int | None) -> list[str]:
    """The reason gives way, never the command."""
    hint = f"supervisor explain {problem.name}" if problem.name != "supervisor" else ""
    behind = f" ({hint})" if hint else ""
    if columns is None:
        return [start + problem.text + behind]
    room = columns - len(start) - width(behind)
    head = problem.text.partition(": ")[0]
    if width(problem.text) <= room or room - width(head) >= REASON_LEAST or not hint:
        return [start + _reason(problem.text, room) + behind]
    return [start + _reason(problem.text, columns - len(start)), " " * len(start) + hint]


def _reason(text: str, columns: int) -> str:
    """Cut what stands behind the first colon, as long as something of it is left."""
    head, colon, why = text.partition(": ")
    room = columns - width(head + colon)
    return head + colon + middle(why, room) if room >= 10 else middle(text, columns)
