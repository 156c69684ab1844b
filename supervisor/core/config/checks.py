"""What no single key can tell: keys that contradict each other, and settings that are allowed but odd."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from supervisor.core import durations
from supervisor.core.config import delivery, keys, planning, properties, timing
from supervisor.core.config.document import Consumer, Task
from supervisor.core.config.models import Keeping, Supervisor
from supervisor.core.config.problems import Fault, Path, quoted
from supervisor.core.config.properties import Librdkafka
from supervisor.core.config.validate import Tables
from supervisor.core.kafka import retry_topics
from supervisor.core.spec import SCHEMAS, Policy

_CRASH_LOOP = frozenset(
    ("backoff_base", "backoff_max", "backoff_jitter", "on_crash_loop", "crash_loop_count", "crash_loop_window")
)
_OVERLAPS = {"skip": "are skipped", "queue_one": "wait, one of them", "cancel": "end it"}
_LONGEST_TOPIC = 249
MOST_CHILDREN = 2000  # each takes four descriptors of the supervisor; a thousand are measured (benchmarks)


def faults(tables: Tables, library: Librdkafka | None) -> Iterator[Fault]:
    general = tables.supervisor
    yield from _policy(general, general, ("supervisor",))
    yield from properties.faults(tables.kafka.properties, ("kafka", "properties"), library)
    for name, task in tables.tasks.items():
        yield from _policy(task, general, ("tasks", name))
        yield from _task(task, ("tasks", name))
        yield from timing.faults(task, general.timezone, ("tasks", name))
    for name, consumer in tables.consumers.items():
        yield from _policy(consumer, general, ("consumers", name))
        yield from properties.faults(consumer.properties, ("consumers", name, "properties"), library)
        yield from _consumer(consumer, tables, ("consumers", name))
    yield from _groups(tables.consumers)
    yield from _amount(tables)


def _policy(own: Keeping, general: Supervisor, path: Path) -> Iterator[Fault]:
    """A fault of what a child only inherits is told once, at [supervisor]."""
    policy = Policy(**planning.policy(own, general))
    touched = {field for field, key in keys.POLICY.items() if planning.given(own, key)}
    if touched & {"backoff_base", "backoff_max"}:
        yield from _waits(policy.backoff_base, policy.backoff_max, (*path, "backoff"))
    if touched & {"heartbeat_interval", "heartbeat_timeout"}:
        yield from _heartbeat(policy, path)
    if touched & _CRASH_LOOP:
        yield from _crash_loop(policy, path)
    if touched & {"max_rss", "max_rss_hard"}:
        yield from _memory(policy, path)
    if "grace_period" in touched and policy.grace_period > general.grace_period:
        limit = durations.text(general.grace_period)
        hint = f"a shutdown of the whole supervisor gives {limit} to all: raise supervisor.grace_period too"
        yield Fault(path=(*path, "grace_period"), found="longer than that of [supervisor]", hint=hint, warning=True)


def _heartbeat(policy: Policy, path: Path) -> Iterator[Fault]:
    if policy.heartbeat_timeout <= 2 * policy.heartbeat_interval:
        yield Fault(
            path=(*path, "heartbeat", "timeout"),
            expected=f"more than twice the interval ({durations.text(policy.heartbeat_interval)})",
            found=durations.text(policy.heartbeat_timeout),
            hint="one late heartbeat would be taken for a hung process",
        )


def _memory(policy: Policy, path: Path) -> Iterator[Fault]:
    soft, hard = policy.max_rss, policy.max_rss_hard
    if soft is not None and hard is not None and hard <= soft:
        yield Fault(
            path=(*path, "max_rss_hard"),
            expected=f"more than max_rss ({keys.size_text(soft)})",
            found=keys.size_text(hard),
            hint="the process would be killed before it could be replaced in peace",
        )


def _crash_loop(policy: Policy, path: Path) -> Iterator[Fault]:
    """So many failures must fit into the window, even at the longest waits."""
    doublings = min(policy.crash_loop_count - 2, 63)  # the first restart is at once
    waits = sum(min(policy.backoff_max, policy.backoff_base * 2.0**n) for n in range(doublings))
    waits += max(0, policy.crash_loop_count - 2 - doublings) * policy.backoff_max
    quickest = min(waits * (1 - policy.backoff_jitter), durations.LONGEST)
    if quickest > policy.crash_loop_window:
        yield Fault(
            path=(*path, "crash_loop"),
            expected=f"a window in which {policy.crash_loop_count} failures fit with their waits",
            found=durations.text(policy.crash_loop_window),
            hint=f"the waits alone take {durations.text(round(quickest))}: it would not be seen",
            warning=policy.on_crash_loop == "hold",
        )


def _waits(base: float, most: float, path: Path) -> Iterator[Fault]:
    if most < base:
        expected = f"at least {path[-1]}.base ({durations.text(base)})"
        yield Fault(path=(*path, "max"), expected=expected, found=durations.text(most))


def _task(task: Task, path: Path) -> Iterator[Fault]:
    yield from _waits(task.retry_backoff.base, task.retry_backoff.max, (*path, "retry_backoff"))
    if task.every is not None and task.jitter >= task.every:
        expected = f"less than every ({durations.text(task.every)})"
        yield Fault(path=(*path, "jitter"), expected=expected, found=durations.text(task.jitter))
    if task.on_overdue is not None and task.expect_within is None:
        yield Fault(path=(*path, "on_overdue"), expected="expect_within beside it", found="none")
    if task.timeout is None:
        hint = "a run that never returns then holds the task for ever"
        yield Fault(path=(*path, "timeout"), found="a task without timeout", hint=hint, warning=True)
    elif task.every is not None and "timeout" in task.model_fields_set and task.timeout > 10 * task.every:
        found = f"{durations.text(task.timeout)} is more than ten times every ({durations.text(task.every)})"
        hint = f"slots that are due while a run goes on {_OVERLAPS[task.overlap]}"
        yield Fault(path=(*path, "timeout"), found=found, hint=hint, warning=True)


def _consumer(consumer: Consumer, tables: Tables, path: Path) -> Iterator[Fault]:
    yield from _waits(consumer.retry_backoff.base, consumer.retry_backoff.max, (*path, "retry_backoff"))
    yield from _waits(consumer.start_backoff.base, consumer.start_backoff.max, (*path, "start_backoff"))
    yield from properties.together(tables.kafka.properties, consumer.properties, (*path, "properties"))
    if consumer.dead_letter_topic in consumer.topics:
        hint = "what cannot be handled would come back for ever"
        expected = "a topic that this consumer does not read"
        yield Fault(path=(*path, "dead_letter_topic"), expected=expected, hint=hint)
    yield from _retry_topics(consumer, path)
    yield from delivery.faults(consumer, tables, path)
    if consumer.format in SCHEMAS and not (consumer.schema_registry.url or tables.kafka.schema_registry.url):
        expected = f"a Schema Registry for format {quoted(consumer.format)}"
        hint = 'write schema_registry = { url = "http://…" } into [kafka]'
        yield Fault(path=(*path, "format"), expected=expected, found="none", hint=hint)
    grace = planning.policy(consumer, tables.supervisor)["grace_period"]
    needed = consumer.drain_timeout + consumer.close_timeout
    if "drain_timeout" in consumer.model_fields_set and consumer.drain_timeout > grace:
        expected = f"at most {durations.text(grace)}, its grace_period"
        hint = "on a stop the process would be killed before it commits: what it handled last comes again"
        yield Fault(
            path=(*path, "drain_timeout"), expected=expected, found=durations.text(consumer.drain_timeout), hint=hint
        )
    elif needed > grace:
        found = f"drain_timeout + close_timeout are {durations.text(needed)}, grace_period is {durations.text(grace)}"
        hint = "on a stop the process may be killed before it commits; what it handled last then comes again"
        yield Fault(path=path, found=found, hint=hint, warning=True)
    if consumer.processes > planning.PARTITIONS and planning.servers(consumer, tables.kafka) == planning.EMBEDDED:
        found = f"the embedded broker has {planning.PARTITIONS} partitions for each topic"
        hint = f"{consumer.processes - planning.PARTITIONS} processes will have nothing to do"
        yield Fault(path=(*path, "processes"), found=found, hint=hint, warning=True)


def _retry_topics(consumer: Consumer, path: Path) -> Iterator[Fault]:
    """They are named after the topics, must be other ones, and a topic's name has at most 249 characters."""
    names = retry_topics.names(consumer.topics, consumer.retry_topics)
    for name in names:
        if name in (*consumer.topics, consumer.dead_letter_topic):
            expected = f"no topic of the name {quoted(name)} beside it"
            hint = "a retry topic of this consumer has that name"
            yield Fault(path=(*path, "retry_topics"), expected=expected, found="one", hint=hint)
        elif len(name) > _LONGEST_TOPIC:
            expected = f"topic names that leave room for a retry topic, in all {_LONGEST_TOPIC} characters"
            yield Fault(path=(*path, "retry_topics"), expected=expected, found=f"{len(name)}")


def _groups(consumers: dict[str, Consumer]) -> Iterator[Fault]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name, consumer in consumers.items():
        groups[consumer.group_id].append(name)
    for group, names in groups.items():
        for name in names[1:]:
            found = f"{quoted(group)} is the group of {names[0]} too"
            hint = "each start or stop of one interrupts the other: give each a group of its own"
            yield Fault(path=("consumers", name, "group_id"), found=found, hint=hint, warning=True)


def _amount(tables: Tables) -> Iterator[Fault]:
    amount = len(tables.tasks) + sum(consumer.processes for consumer in tables.consumers.values())
    if amount > MOST_CHILDREN:
        yield Fault(path=(), expected=f"at most {MOST_CHILDREN} processes in all", found=f"{amount}")
