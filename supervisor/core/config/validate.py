"""TOML data to typed tables: each table by itself, so that one mistake does not hide another."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from supervisor.core.config.document import TRIGGERS, Consumer, Document, Task
from supervisor.core.config.fields import Name, ResourceName, Target
from supervisor.core.config.models import Alerts, Kafka, Supervisor, Table
from supervisor.core.config.problems import Fault, Path, did_you_mean, dotted, one_of, quoted

T = TypeVar("T", bound=Table)

_NAME: TypeAdapter[str] = TypeAdapter(Name)
_RESOURCE: TypeAdapter[str] = TypeAdapter(ResourceName)
_TARGET: TypeAdapter[str] = TypeAdapter(Target)
_WORD = re.compile(r"'([^']*)'")
_EXPECTED = {  # pydantic's names of errors; {…} from the error's context
    "string_type": "a text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "greater_than_equal": "a number of at least {ge}",
    "less_than_equal": "a number of at most {le}",
}
_MEANT = {  # words of other tools, and of the code
    "interval": "every",
    "schedule": "cron",
    "target": "run",
    "function": "run",
    "command": "run",
    "max_restarts": "on_crash_loop",
    "stop_timeout": "grace_period",
    "ready_timeout": "start_timeout",
    "group": "group_id",
    "topic": "topics",
    "workers": "processes",
    "bootstrap": "bootstrap_servers",
    "dlq": "dead_letter_topic",
    "deserialize": "format",
    "max_attempts": "retries",
}


@dataclass(frozen=True, slots=True)
class Tables:
    """What is valid; what is not has been left out, with its faults."""

    supervisor: Supervisor
    resources: dict[str, str]
    kafka: Kafka
    alerts: Alerts
    tasks: dict[str, Task]
    consumers: dict[str, Consumer]
    faults: list[Fault] = field(default_factory=list)


def validate(data: Mapping[str, Any]) -> Tables:
    faults: list[Fault] = [_unknown((key,), Document.model_fields) for key in data if key not in Document.model_fields]
    tables = Tables(
        supervisor=_table(Supervisor, data.get("supervisor", {}), ("supervisor",), faults) or Supervisor(),
        resources=_resources(_mapping(data, "resources", faults), faults),
        kafka=_table(Kafka, data.get("kafka", {}), ("kafka",), faults) or Kafka(),
        alerts=_table(Alerts, data.get("alerts", {}), ("alerts",), faults) or Alerts(),
        tasks=_named(Task, _mapping(data, "tasks", faults), "tasks", faults),
        consumers=_named(Consumer, _mapping(data, "consumers", faults), "consumers", faults),
        faults=faults,
    )
    faults.extend(_twice(data))
    return tables


def _mapping(data: Mapping[str, Any], key: str, faults: list[Fault]) -> Mapping[str, Any]:
    found = data.get(key, {})
    if isinstance(found, dict):
        return found
    faults.append(Fault(path=(key,), expected="a table"))
    return {}


def _named(model: type[T], data: Mapping[str, Any], section: str, faults: list[Fault]) -> dict[str, T]:
    valid: dict[str, T] = {}
    for name, raw in data.items():
        path = (section, name)
        named = _one(_NAME, name, path, faults, found=quoted(name))
        if model is Task and isinstance(raw, dict):
            faults.extend(_trigger(raw, path))
        table = _table(model, raw, path, faults)
        if named and table:
            valid[name] = table
    return valid


def _resources(data: Mapping[str, Any], faults: list[Fault]) -> dict[str, str]:
    for name, target in data.items():
        _one(_RESOURCE, name, ("resources", name), faults, found=quoted(name))
        _one(_TARGET, target, ("resources", name), faults)
    return {name: target for name, target in data.items() if isinstance(target, str)}


def _one(kind: TypeAdapter[str], value: object, path: Path, faults: list[Fault], *, found: str = "") -> bool:
    try:
        kind.validate_python(value, strict=True)
    except ValidationError as error:
        context = error.errors(include_url=False, include_input=False)[0]["ctx"]
        faults.append(Fault(path=path, found=found, expected=context["expected"], hint=context["hint"]))
        return False
    return True


def _table(model: type[T], raw: object, path: Path, faults: list[Fault]) -> T | None:
    try:
        return model.model_validate(raw, strict=True)
    except ValidationError as error:
        faults.extend(_fault(model, dict(e), path) for e in error.errors(include_url=False, include_input=False))
        return None


def _fault(model: type[Table], error: Mapping[str, Any], above: Path) -> Fault:
    path, kind, context = (*above, *error["loc"]), error["type"], error.get("ctx", {})
    if kind == "expected":
        return Fault(path=path, found=context["found"], expected=context["expected"], hint=context["hint"])
    if kind == "extra_forbidden":
        return _unknown(path, _fields(model, error["loc"][:-1]))
    if kind == "missing":
        meaning = _fields(model, error["loc"][:-1])[str(error["loc"][-1])].description
        return Fault(path=path, found=f"this key is missing: {meaning}")
    if kind == "literal_error":
        words = _WORD.findall(context["expected"])
        return Fault(path=path, expected=one_of(words))
    limits = {name: int(value) for name, value in context.items() if isinstance(value, int | float)}
    return Fault(path=path, expected=_EXPECTED.get(kind, "another value").format(**limits))


def _unknown(path: Path, known: Mapping[str, FieldInfo]) -> Fault:
    key = str(path[-1])
    meant = _MEANT.get(key, "")
    hint = f'did you mean "{meant}"?' if meant in known else did_you_mean(key, known)
    return Fault(path=path, found="unknown key", hint=hint or f"known are {', '.join(known)}")


def _fields(model: type[Table], loc: tuple[str | int, ...]) -> Mapping[str, FieldInfo]:
    """Return the fields of the table at `loc` within the model."""
    for key in loc:
        annotation = model.model_fields[str(key)].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, Table)
        model = annotation
    return model.model_fields


def _trigger(raw: Mapping[str, Any], path: Path) -> list[Fault]:
    """Judged by which keys are there: also when their values are wrong."""
    given = [key for key in TRIGGERS if key in raw]
    if not given:
        hint = 'as in every = "30s"'
        return [Fault(path=path, expected="one of every, at, cron, once", found="none of them", hint=hint)]
    if len(given) > 1:
        found = " and ".join(given)
        return [Fault(path=(*path, given[1]), expected="exactly one of every, at, cron, once", found=found)]
    if "on" in raw and "at" not in raw:
        hint = "put the days into the cron expression" if "cron" in raw else 'write at = "HH:MM", or leave `on` out'
        return [Fault(path=(*path, "on"), expected="`on` together with `at`", found=f"it with `{given[0]}`", hint=hint)]
    return []


def _twice(data: Mapping[str, Any]) -> list[Fault]:
    tasks, consumers = data.get("tasks"), data.get("consumers")
    if not isinstance(tasks, dict) or not isinstance(consumers, dict):
        return []
    return [
        Fault(path=("consumers", name), expected="a name that no task has", found=dotted(("tasks", name)))
        for name in consumers
        if name in tasks
    ]
