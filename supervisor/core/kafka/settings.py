"""[consumers.NAME] to the properties of librdkafka.

Ours stand over the user's where a promise depends on them; elsewhere the user's win.
Sources: librdkafka's INTRODUCTION.md ("At-least-once processing"), CONFIGURATION.md; our own measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supervisor.core.spec import ConsumerSettings

OURS: Mapping[str, Any] = {
    "enable.auto.offset.store": False,  # an offset is stored when its record was handled, not when it was read
    "enable.auto.commit": True,  # what is stored goes out every interval, without waiting for it
    "enable.partition.eof": False,
}
DEFAULTS: Mapping[str, Any] = {
    "auto.commit.interval.ms": 1000,
    "queued.min.messages": 4000,  # three times the throughput of the default at a quarter of the memory
    "max.partition.fetch.bytes": 524_288,  # what comes at once is held as well: of small records, thousands
    "queued.max.messages.kbytes": 16_384,
    "fetch.queue.backoff.ms": 2,
    "reconnect.backoff.ms": 500,  # the default retries twenty times a second
    "reconnect.backoff.max.ms": 5000,
    "log.connection.close": False,  # idle connections are closed by brokers all the time
    "statistics.interval.ms": 1000,  # `status` shows the lag of a second ago
}
RESERVED = frozenset({*OURS, "group.id", "bootstrap.servers", "metadata.broker.list", "auto.offset.reset"})
"""Properties that have a key of their own in config.toml, or that a promise depends on."""

NOT_WITH_CONSUMER_PROTOCOL = frozenset(
    {"session.timeout.ms", "heartbeat.interval.ms", "group.protocol.type", "partition.assignment.strategy"}
)
"""KIP-848 moves these to the broker; librdkafka refuses to start when they are set."""

CLASSIC: Mapping[str, Any] = {
    "group.protocol": "classic",
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 15_000,
    "heartbeat.interval.ms": 3000,
}
_CONSUMER_ONLY = (
    "group.", "auto.", "enable.auto.", "fetch.", "queued.", "max.poll.", "session.", "heartbeat.", "max.partition.",
    "partition.assignment.", "isolation.", "check.crcs", "enable.partition.eof", "statistics.", "receive.", "offset.",
    "allow.auto.create.topics",
)  # fmt: skip


def consumer_properties(
    settings: ConsumerSettings, *, bootstrap: str, client_id: str, classic: bool = False
) -> dict[str, Any]:
    """Return what the client is made with.

    `classic`: the broker knows no KIP-848 groups. A `group.protocol` of the user's own is left as it is.
    """
    chosen = {key: value for key, value in settings.properties.items() if key not in RESERVED}
    if classic:
        chosen.pop("group.protocol", None)
    protocol = CLASSIC if classic or chosen.get("group.protocol") == "classic" else {"group.protocol": "consumer"}
    properties = {"client.id": client_id, **DEFAULTS, **protocol, **chosen, **OURS}
    if "session.timeout.ms" in chosen and "heartbeat.interval.ms" not in chosen:
        # a session as short as the heartbeat's interval ends between two of them
        properties["heartbeat.interval.ms"] = max(1, min(3000, int(chosen["session.timeout.ms"]) // 3))
    if properties["group.protocol"] == "consumer":
        properties = {key: value for key, value in properties.items() if key not in NOT_WITH_CONSUMER_PROTOCOL}
    return {
        **properties,
        "bootstrap.servers": bootstrap,
        "group.id": settings.group_id,
        "auto.offset.reset": settings.auto_offset_reset,
    }


def refused_by_protocol(settings: ConsumerSettings) -> list[str]:
    """Return the user's properties that are left out because the group protocol has no place for them."""
    if settings.properties.get("group.protocol") == "classic":
        return []
    return sorted(NOT_WITH_CONSUMER_PROTOCOL & settings.properties.keys())


def producer_properties(
    settings: ConsumerSettings, *, bootstrap: str, client_id: str, deadline: float
) -> dict[str, Any]:
    """Return the dead letters' producer: acknowledged by all replicas, in order, within `deadline` seconds."""
    shared = {k: v for k, v in settings.properties.items() if not k.startswith(_CONSUMER_ONLY) and k not in RESERVED}
    return {
        "reconnect.backoff.ms": 500,
        "log.connection.close": False,
        **shared,
        "client.id": client_id,
        "bootstrap.servers": bootstrap,
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": 0,
        "message.timeout.ms": int(deadline * 1000),
        "message.max.bytes": 1_000_000_000,  # what came in may go out; the broker has the last word
    }


def transactional_properties(
    settings: ConsumerSettings, *, bootstrap: str, transactional_id: str, deadline: float
) -> dict[str, Any]:
    """Return those of a producer of transactions; one may stay open as long as a handler may take."""
    most = 900.0 if settings.handler_timeout is None else min(900.0, settings.handler_timeout + 2 * deadline)
    return {
        **producer_properties(settings, bootstrap=bootstrap, client_id=transactional_id, deadline=deadline),
        "transactional.id": transactional_id,
        "transaction.timeout.ms": int(1000 * max(most, deadline)),
    }


def admin_properties(settings: ConsumerSettings, *, bootstrap: str) -> dict[str, Any]:
    """Return those of a client that only asks: the address and what the broker needs to trust it."""
    shared = {k: v for k, v in settings.properties.items() if not k.startswith(_CONSUMER_ONLY) and k not in RESERVED}
    return {"log.connection.close": False, **shared, "bootstrap.servers": bootstrap}


def rebalances_by_steps(settings: ConsumerSettings, *, classic: bool) -> bool:
    """Return whether partitions are given one by one: always, but for the older strategies of classic groups."""
    chosen = settings.properties
    if not classic and chosen.get("group.protocol") != "classic":
        return True
    strategy = str(chosen.get("partition.assignment.strategy", CLASSIC["partition.assignment.strategy"]))
    return "cooperative" in strategy


def queue_room(settings: ConsumerSettings) -> int:
    """How many records the client keeps before it stops to fetch more."""
    return int(settings.properties.get("queued.min.messages", DEFAULTS["queued.min.messages"]))


def max_poll_interval(settings: ConsumerSettings) -> float:
    """Seconds; a consumer that does not ask for records so long is put out of its group."""
    return float(settings.properties.get("max.poll.interval.ms", 300_000)) / 1000
