"""Valid tables to the plan: inherited keys filled in, members numbered, the embedded broker added."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from supervisor.core.config import keys, timing
from supervisor.core.config.document import Consumer, Task
from supervisor.core.config.models import Alerts, Kafka, Keeping, Supervisor, Table
from supervisor.core.config.problems import Path
from supervisor.core.config.validate import Tables
from supervisor.core.kafka import retry_topics
from supervisor.core.schedule.slots import trigger
from supervisor.core.spec import BrokerSettings, ChildSpec, ConsumerSettings, Policy, SupervisorSettings, TaskSettings

EMBEDDED = "embedded"
BROKER = "broker"
PARTITIONS = 4  # of a topic of the embedded broker: so that several processes have something to share

Where = Callable[[Path], str]


def supervisor(tables: Tables, *, file: str, project_dir: str) -> SupervisorSettings:
    settings = _fields(tables.supervisor, keys.SUPERVISOR) | _fields(tables.alerts, keys.ALERTS)
    settings["state_dir"] = posixpath.normpath(posixpath.join(project_dir, settings["state_dir"]))
    return SupervisorSettings(
        config_file=posixpath.join(project_dir, posixpath.basename(file)),
        project_dir=project_dir,
        grace_period=tables.supervisor.grace_period,
        **settings,
    )


def children(tables: Tables, where: Where) -> tuple[ChildSpec, ...]:
    """Return the embedded broker first when there is one, then tasks and consumers in the order of the file."""
    consumers = [spec for name, table in tables.consumers.items() for spec in _members(name, table, tables, where)]
    broker = _broker(consumers, where)
    tasks = [_task(name, table, tables, where) for name, table in tables.tasks.items() if broker or not table.demo]
    return (*broker, *tasks, *consumers)


def given(table: Table, path: tuple[str, ...]) -> bool:
    """Tell whether the file has this key, rather than its default."""
    for key in path[:-1]:
        if key not in table.model_fields_set:
            return False
        table = getattr(table, key)
    return path[-1] in table.model_fields_set


def policy(own: Keeping, general: Supervisor) -> dict[str, Any]:
    """Return the fields of Policy: a child's own keys, then those of [supervisor], then defaults."""
    return {field: dig(own if given(own, path) else general, path) for field, path in keys.POLICY.items()}


def dig(table: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        table = getattr(table, key)
    return table


def servers(consumer: Consumer, kafka: Kafka) -> str:
    return consumer.bootstrap_servers or kafka.bootstrap_servers


def _fields(table: Supervisor | Alerts | Task | Consumer, wanted: keys.Keys) -> dict[str, Any]:
    values = {field: dig(table, path) for field, path in wanted.items()}
    return {field: tuple(value) if isinstance(value, list) else value for field, value in values.items()}


def _task(name: str, table: Task, tables: Tables, where: Where) -> ChildSpec:
    settings = _fields(table, keys.TASK)
    settings["at"] = settings["at"] or ()
    settings["offset"] = timing.offset(name, table)
    settings["timezone"] = table.timezone or tables.supervisor.timezone
    task = TaskSettings(**settings, resources=tables.resources)
    return ChildSpec(
        name=name,
        group=name,
        kind="task",
        enabled=table.enabled,
        policy=Policy(**policy(table, tables.supervisor)),
        settings=task,
        where=where(("tasks", name)),
        when=trigger(task).describe(),
    )


def _members(name: str, table: Consumer, tables: Tables, where: Where) -> Iterator[ChildSpec]:
    settings = _fields(table, keys.CONSUMER)
    settings["bootstrap_servers"] = servers(table, tables.kafka)
    settings["properties"] = {**tables.kafka.properties, **table.properties}
    registry = table.schema_registry if table.schema_registry.url else tables.kafka.schema_registry
    for field, path in keys.CONSUMER.items():
        if path[0] == "schema_registry":
            settings[field] = dig(registry, path[1:])
    drain = table.drain_timeout + table.close_timeout
    for member in range(1, table.processes + 1):
        yield ChildSpec(
            name=name if table.processes == 1 else f"{name}:{member}",
            group=name,
            kind="consumer",
            enabled=table.enabled,
            policy=Policy(**policy(table, tables.supervisor), drain_timeout=drain),
            settings=ConsumerSettings(**settings, member=member, resources=tables.resources),
            where=where(("consumers", name)),
        )


def _broker(consumers: list[ChildSpec], where: Where) -> tuple[ChildSpec, ...]:
    topics: dict[str, int] = {}
    for spec in consumers:
        settings = spec.settings
        if isinstance(settings, ConsumerSettings) and settings.bootstrap_servers == EMBEDDED:
            topics |= dict.fromkeys(settings.topics, PARTITIONS)
            topics |= dict.fromkeys(retry_topics.names(settings.topics, settings.retry_topics), 1)
            if settings.dead_letter_topic:
                topics.setdefault(settings.dead_letter_topic, 1)
    if not topics:
        return ()
    return (
        ChildSpec(
            name=BROKER,
            group=BROKER,
            kind="broker",
            enabled=True,
            policy=Policy(grace_period=2.0, drain_timeout=1.0),
            settings=BrokerSettings(topics=topics),
            where=where(("kafka",)),
        ),
    )


def notes(tables: Tables, specs: tuple[ChildSpec, ...]) -> tuple[str, ...]:
    """Return what was done silently, for people who wonder."""
    planned: Mapping[str, ChildSpec] = {spec.name: spec for spec in specs}
    left_out = [name for name, table in tables.tasks.items() if table.demo and name not in planned]
    return tuple(f"{name} is left out: it is a demo, and there is no embedded broker" for name in left_out)
