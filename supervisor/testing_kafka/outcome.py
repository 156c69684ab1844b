"""RUNS ANYWHERE, for the tests of a project: what came of the records that a consumer was run over."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from supervisor.core.kafka import retry_topics
from supervisor.core.kafka.record import Record
from supervisor.core.spec import ConsumerSettings
from supervisor.testing_kafka.mock import KafkaMock

Place = tuple[str, int]
Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Letter:
    """What was given up: where it came from, and why."""

    value: Any
    key: str | None
    exception: str  # "builtins.ValueError"
    message: str
    attempts: int
    source: str  # "topic:partition:offset"


@dataclass(slots=True)
class Outcome:
    handled: list[Record[Any]] = field(default_factory=list)  # not given up; one that was skipped is among them
    dead_letters: list[Letter] = field(default_factory=list)
    committed: dict[Place, int] = field(default_factory=dict)
    retries: int = 0  # attempts after the first
    held: dict[Place, str] = field(default_factory=dict)  # partitions that stand still, and why
    counts: dict[str, int] = field(default_factory=dict)  # of the last processes: skipped, filtered, dead_letters …
    starts: int = 0  # processes that were needed
    log: str = ""


def outcome(
    kafka: KafkaMock,
    settings: ConsumerSettings,
    *,
    events: Sequence[Facts],
    children: Sequence[Facts],
    lines: Sequence[Facts],
    held: dict[Place, str],
    starts: int,
) -> Outcome:
    """`events`: each record that lies before the position. `lines`: of the consumer's log."""
    letters = _letters(kafka, settings)
    gone = {str(each["source"]) for each in letters}
    counts: Counter[str] = Counter()
    for child in children:
        counts.update(child.get("outcomes") or {})
    return Outcome(
        handled=[
            _record(settings, each) for each in events if each["topic"] in settings.topics and _id(each) not in gone
        ],
        dead_letters=[_letter(settings, each) for each in letters],
        committed=kafka.committed(settings.group_id, *settings.topics, *_retries(settings)),
        retries=sum(line.get("event") == "retry" for line in lines),
        held=held,
        counts=dict(counts),
        starts=starts,
        log="\n".join(told(line) for line in lines),
    )


def _retries(settings: ConsumerSettings) -> tuple[str, ...]:
    return retry_topics.names(settings.topics, settings.retry_topics)


def _letters(kafka: KafkaMock, settings: ConsumerSettings) -> list[dict[str, Any]]:
    if not settings.dead_letter_topic:
        return []
    found = kafka.letters(settings.dead_letter_topic, settings.group_id)
    return [each for each in found if each["group"] in (None, settings.group_id)]


def _record(settings: ConsumerSettings, event: Facts) -> Record[Any]:
    key = event["key"].encode() if event["key"] is not None else None
    return Record(_value(settings, event["value"]), key, (), event["topic"], event["partition"], event["offset"])


def _letter(settings: ConsumerSettings, row: Facts) -> Letter:
    return Letter(
        value=_value(settings, row["value"]),
        key=row["key"],
        exception=str(row["exception"]),
        message=str(row["message"]),
        attempts=int(row["attempts"] or 0),
        source=str(row["source"]),
    )


def _value(settings: ConsumerSettings, text: str | None) -> Any:
    """As the handler gets it, for what is JSON; else its text."""
    if text is None or settings.format != "json":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _id(event: Facts) -> str:
    return f"{event['topic']}:{event['partition']}:{event['offset']}"


def told(line: Facts) -> str:
    """Return a line of the log as its text, and what was raised."""
    return "\n".join(filter(None, [str(line.get("text", "")), str(line.get("traceback") or "")]))
