"""The bytes of config.toml to a plan, or to all that is wrong with them at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from supervisor.core.config import checks, planning
from supervisor.core.config.environment import Filler
from supervisor.core.config.problems import ConfigError, Fault, Problem
from supervisor.core.config.properties import Librdkafka
from supervisor.core.config.source import Source, read
from supervisor.core.config.validate import validate
from supervisor.core.spec import Plan

MOST_PROBLEMS = 100  # more are no help, and a hostile file could make a million


@dataclass(frozen=True, slots=True)
class Loaded:
    plan: Plan
    warnings: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()  # what nobody has to act on


def load(
    source: bytes, *, file: str, env: Mapping[str, str], project_dir: str, librdkafka: Librdkafka | None = None
) -> Loaded:
    """Return the plan. `file` is the name for messages, `project_dir` the absolute folder it lies in.

    Without `librdkafka` the names and values of its properties are not looked at.
    Raises ConfigError with every problem.
    """
    found = read(source, file)
    filler = Filler(env)
    tables = validate(filler.fill(found.data))
    faults = _one_each([*filler.faults, *tables.faults, *checks.faults(tables, librdkafka)])
    errors = [fault for fault in faults if not fault.warning]
    if errors:
        raise ConfigError(_problems(found, errors))
    children = planning.children(tables, found.where)
    if not children:
        faults.append(Fault(path=(), found="there is no task and no consumer", warning=True))
    supervisor = planning.supervisor(tables, file=file, project_dir=project_dir)
    plan = Plan(supervisor=supervisor, children=children, digest=hashlib.sha256(source).hexdigest())
    return Loaded(plan, _problems(found, faults), planning.notes(tables, children))


def _one_each(faults: Iterable[Fault]) -> list[Fault]:
    """Keep the first fault of a key: a variable that is missing is no bad duration as well."""
    kept: dict[object, Fault] = {}
    for fault in faults:
        kept.setdefault((fault.path, fault.warning), fault)
    return list(kept.values())


def _problems(source: Source, faults: list[Fault]) -> tuple[Problem, ...]:
    """Return them in the order of the file."""
    ordered = sorted(faults, key=lambda fault: source.line(fault.path) or 0)
    problems = [source.problem(fault) for fault in ordered[:MOST_PROBLEMS]]
    if len(ordered) > MOST_PROBLEMS:
        more = f"{len(ordered) - MOST_PROBLEMS} more problems are not shown"
        problems.append(Problem(file=source.file, found=more))
    return tuple(problems)
