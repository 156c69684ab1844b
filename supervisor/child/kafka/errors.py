"""RUNS IN A CHILD: what the client's errors mean for a consumer."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

LOST_RACE = frozenset(
    {
        KafkaError._STATE,
        KafkaError._NO_OFFSET,
        KafkaError._ASSIGNMENT_LOST,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
    }
)
"""The partition is somebody else's by now, or nothing was to be stored: its records come again, nothing is lost."""

REFUSED = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
NO_TOPIC = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_ID})
NO_CONSUMER_PROTOCOL = frozenset({KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE})
_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})


class Fatal(Exception):
    """This client is of no more use; a new one may be."""

    def __init__(self, error: KafkaError) -> None:
        super().__init__(error.str())
        self.error = error


def of(error: KafkaException) -> KafkaError:
    """Return the client's error inside the exception."""
    inner = error.args[0] if error.args else None
    return inner if isinstance(inner, KafkaError) else KafkaError(KafkaError.UNKNOWN, str(error))


def is_lost_race(error: KafkaException) -> bool:
    return of(error).code() in LOST_RACE


def too_large(error: KafkaError) -> bool:
    return error.code() in _TOO_LARGE


def missing(error: KafkaError, *, group: str, topics: str) -> str:
    """Return what people have to do so that this error goes away."""
    code = error.code()
    if code == KafkaError.GROUP_AUTHORIZATION_FAILED:
        return f'no right to read as group "{group}": grant READ on the group'
    if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        return f"no right to read {topics}: grant READ and DESCRIBE on the topic"
    if code in NO_TOPIC:
        return f"{topics} does not exist: create it"
    if code in REFUSED:
        return f"refused by the broker: {error.str()}; look at the security properties of [kafka]"
    return error.str()
