"""librdkafka's properties in config.toml: which are refused, and why.

Which properties exist, only the library can say; it is asked in the process that checks, and comes in from there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from supervisor.core.config.problems import Fault, Path, did_you_mean
from supervisor.core.kafka.settings import CLASSIC, NOT_WITH_CONSUMER_PROTOCOL

_COMMITS = "offsets are committed once a record is handled: anything else loses records"

REFUSED: Mapping[str, str] = {
    "bootstrap.servers": "write it as bootstrap_servers",
    "metadata.broker.list": "write it as bootstrap_servers",
    "group.id": "write it as group_id of the consumer",
    "auto.offset.reset": "write it as auto_offset_reset of the consumer",
    "enable.auto.commit": _COMMITS,
    "auto.commit.enable": _COMMITS,
    "enable.auto.offset.store": _COMMITS,
    "offset.store.method": _COMMITS,
    "offset.store.path": _COMMITS,
    "enable.partition.eof": "the end of a partition is no record, and no handler expects it",
    "group.instance.id": "the processes of a consumer would fence each other off: each needs one of its own",
    "plugin.library.paths": "native code would be loaded into the process that checks this file",
    "test.mock.num.brokers": 'write bootstrap_servers = "embedded" for a broker in memory',
    "on_commit": "it is a function, which no file can hold",
    "opaque": "it is a pointer, which no file can hold",
    "interceptors": "they are functions, which no file can hold",
    "default_topic_conf": "it is a pointer, which no file can hold",
    "default.topic.config": "write its properties directly",
    "logger": "it is an object; what the client logs is in the child's log",
}

NOT_ZERO: Mapping[str, str] = {
    "auto.commit.interval.ms": "nothing would be committed before the consumer stops",
    "statistics.interval.ms": "the lag comes from there, and that a partition stands still is seen by it",
}


class Librdkafka(Protocol):
    """What the library says of its own properties."""

    @property
    def names(self) -> Collection[str]: ...

    def refusal(self, name: str, value: str) -> str | None:
        """Return what it expects instead, or None when it takes the value."""


def faults(properties: Mapping[str, Any], path: Path, library: Librdkafka | None) -> Iterator[Fault]:
    """Judge one `properties` table, which stands at `path`."""
    for name, value in properties.items():
        fault = _fault((*path, name), name, value, library)
        if fault:
            yield fault


def together(general: Mapping[str, Any], own: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    """Judge what a consumer ends up with: [kafka], and its own `properties` at `path`."""
    properties = {**general, **own}
    for name, fault in _contradictions(properties):
        place = path if name in own else ("kafka", "properties")
        yield replace(fault, path=(*place, name))


def _contradictions(properties: Mapping[str, Any]) -> Iterator[tuple[str, Fault]]:
    protocol = properties.get("group.protocol")
    if protocol != "classic":
        hint = "the broker decides it, save with `group.protocol = classic`"
        fault = Fault(path=(), found="has no place in the group protocol", hint=hint, warning=protocol is None)
        yield from ((name, fault) for name in sorted(NOT_WITH_CONSUMER_PROTOCOL & properties.keys()))
    yield from _login(properties)
    yield from _order(properties, 3, "heartbeat.interval.ms", "session.timeout.ms")
    yield from _order(properties, 1, "session.timeout.ms", "max.poll.interval.ms")


def _login(properties: Mapping[str, Any]) -> Iterator[tuple[str, Fault]]:
    """librdkafka itself would say so only when the process makes its client."""
    if not str(properties.get("security.protocol", "")).lower().startswith("sasl_"):
        return
    mechanism = str(properties.get("sasl.mechanism", properties.get("sasl.mechanisms", "GSSAPI"))).upper()
    if mechanism == "PLAIN" or mechanism.startswith("SCRAM-"):
        for name in ("sasl.username", "sasl.password"):
            if not properties.get(name):
                yield "security.protocol", Fault(path=(), expected=f"{name} beside it", hint=f"{mechanism} asks for it")


def _order(properties: Mapping[str, Any], factor: int, low: str, high: str) -> Iterator[tuple[str, Fault]]:
    """`high` must be at least `factor` times `low`; told at the one that is given."""
    least, most = (_number(properties, name) for name in (low, high))
    if factor * least > most:
        hint = f"{high} must not be shorter than {f'{factor} times ' if factor > 1 else ''}{low}"
        if low in properties:
            yield low, Fault(path=(), expected=f"at most {most / factor:g}", found=f"{least:g}", hint=hint)
        else:
            yield high, Fault(path=(), expected=f"at least {factor * least:g}", found=f"{most:g}", hint=hint)


def _fault(path: Path, name: str, value: Any, library: Librdkafka | None) -> Fault | None:
    reason = REFUSED.get(name) or (name.endswith("_cb") and "it is a function, which no file can hold")
    if reason:
        return Fault(path=path, found="not allowed here", hint=reason)
    if name in NOT_ZERO and text(value) == "0":
        return Fault(path=path, expected="1 or more", found="0", hint=NOT_ZERO[name])
    if library is None:
        return None
    if name not in library.names:
        near = did_you_mean(name, library.names)
        return Fault(path=path, found="librdkafka has no such property", hint=near)
    expected = library.refusal(name, text(value))
    return Fault(path=path, expected=expected) if expected else None


def text(value: Any) -> str:
    """Return a value as librdkafka wants it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(properties: Mapping[str, Any], name: str) -> float:
    default = float(CLASSIC.get(name, 300_000))
    try:
        return float(properties.get(name, default))
    except ValueError:  # librdkafka says so itself
        return default
