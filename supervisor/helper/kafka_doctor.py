"""RUNS IN A PROCESS OF ITS OWN, that ends soon: what a broker says of one consumer. Changes and judges nothing.

Joins no group, makes no topic. What the broker does not answer in time is left out, and why stands in "stopped".
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from supervisor.core.kafka import retry_topics
from supervisor.core.kafka.settings import admin_properties, consumer_properties
from supervisor.core.spec import ConsumerSettings
from supervisor.helper.kafka_records import left

CONNECT = 1.5  # seconds for all addresses
ANSWER = 3.0  # for the first answer: a frozen broker accepts and says nothing
BETWEEN = 1.2  # between two looks at the offsets: the client commits every second
AHEAD = 5.0  # seconds that a record may be in the future
NEW_GROUPS = "ConsumerGroupHeartbeat"  # the request of KIP-848
MEMBERS = "DescribeGroups"  # and the one that a broker in memory does not know

Facts = dict[str, Any]


def facts(settings: ConsumerSettings, bootstrap: str, within: float) -> Facts:
    """Return what was found, in the order of the questions."""
    from confluent_kafka import KafkaException

    end = time.monotonic() + within
    found: Facts = {"addresses": _addresses(bootstrap, min(CONNECT, within / 2))}
    if all(why for _, why in found["addresses"]):
        return found
    try:
        client, said = _client(settings, bootstrap)
    except KafkaException as error:  # librdkafka does not take these properties together
        return {**found, "refused": error.args[0].str()}
    try:
        known = _answer(client, said, end)
        if isinstance(known, str):
            return {**found, "refused": known}
        found["new_groups"] = NEW_GROUPS in said.requests
        tells = MEMBERS in said.requests
        found["topics"] = _topics(settings, bootstrap, known, end, tells=tells)
        found["group"] = _group(settings, bootstrap, end) if tells else {"error": "untold"}
        found["offsets"] = _offsets(client, settings, found, end)
        found["letters"] = _letters(client, settings, found, end)
        found["ahead"] = _ahead(client, settings, found, end)
    except KafkaException as error:
        found["stopped"] = error.args[0].str()
    return found  # nothing is closed: this process ends now, and closing waits for the broker


def _addresses(bootstrap: str, within: float) -> list[tuple[str, str]]:
    """Return each with why it does not accept connections, "" when it does."""
    end = time.monotonic() + within
    trying = [(each.strip(), *_begin(each.strip())) for each in bootstrap.split(",")]
    return [(name, why or _connected(sock, end)) for name, sock, why in trying]


def _begin(address: str) -> tuple[socket.socket | None, str]:
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        family, kind, _, _, where = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    except ValueError:
        return None, "expected host:port"
    except OSError as error:
        return None, f"its name is not known: {error.strerror}"
    sock = socket.socket(family, kind)
    sock.setblocking(False)
    try:
        sock.connect(where)
    except BlockingIOError:
        pass
    except OSError as error:
        return None, error.strerror or str(error)
    return sock, ""


def _connected(sock: socket.socket | None, end: float) -> str:
    assert sock is not None
    with sock:
        _, ready, _ = select.select([], [sock], [], max(0.05, end - time.monotonic()))
        if not ready:
            return "does not answer: a firewall, or a wrong address?"
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return {0: "", errno.ECONNREFUSED: "nobody listens there"}.get(code, errno.errorcode.get(code, str(code)))


class _Said:
    """What the client tells by the way: its errors, and which requests the broker knows."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.requests: set[str] = set()

    def error(self, error: Any) -> None:
        self.errors.append(error.str())

    def log(self, level: int, form: str, *arguments: object) -> None:
        text = str(arguments[-1] if arguments else form)
        self.requests |= {each for each in (NEW_GROUPS, MEMBERS) if f"ApiKey {each} " in text}


def _client(settings: ConsumerSettings, bootstrap: str) -> tuple[Any, _Said]:
    from confluent_kafka import Consumer

    said = _Said()
    properties = consumer_properties(settings, bootstrap=bootstrap, client_id="forkwarden-doctor")
    return Consumer({**properties, "debug": "feature", "error_cb": said.error}, logger=said), said


def _answer(client: Any, said: _Said, end: float) -> dict[str, int] | str:
    """Return the partitions of each topic, or why there was no answer."""
    from confluent_kafka import KafkaException

    try:
        answer = client.list_topics(timeout=min(ANSWER, left(end)))
    except KafkaException as error:
        client.poll(0)  # has the callback say what went wrong in detail
        telling = (text for text in said.errors if "uthent" in text or "SSL" in text or "ssl" in text)
        return next(telling, "") or error.args[0].str()
    client.poll(0)
    return {name: len(each.partitions) for name, each in answer.topics.items()}


def _topics(
    settings: ConsumerSettings, bootstrap: str, known: dict[str, int], end: float, *, tells: bool
) -> dict[str, Facts]:
    """Return {"partitions", "may"} or {"error"} of each that the consumer reads or writes."""
    letters = settings.dead_letter_topic
    names = [
        *settings.topics,
        *retry_topics.names(settings.topics, settings.retry_topics),
        *([letters] if letters else []),
    ]
    if not tells:  # and it would make those that it is asked for
        plain = [name for name in names if not name.startswith("^")]
        return {name: {"partitions": known[name]} if name in known else {"error": "absent"} for name in plain}
    return {name: _described(answer, end) for name, answer in _describe(settings, bootstrap, names, end).items()}


def _describe(settings: ConsumerSettings, bootstrap: str, names: Iterable[str], end: float) -> dict[str, Any]:
    from confluent_kafka import TopicCollection
    from confluent_kafka.admin import AdminClient

    admin: Any = AdminClient({**admin_properties(settings, bootstrap=bootstrap), "log_level": 0})
    _kept.append(admin)
    named = [name for name in names if not name.startswith("^")]
    more = {"include_authorized_operations": True, "request_timeout": left(end)}
    return dict(admin.describe_topics(TopicCollection(named), **more))


def _described(answer: Any, end: float) -> Facts:
    from confluent_kafka import KafkaError

    def read(found: Any) -> Facts:
        return {"partitions": len(found.partitions), "may": _may(found)}

    absent = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)
    return _asked(answer, end, read, dict.fromkeys(absent, "absent"))


def _group(settings: ConsumerSettings, bootstrap: str, end: float) -> Facts:
    """Return {"state", "type", "may", "members"}, or {"error"}."""
    from confluent_kafka.admin import AdminClient

    admin: Any = AdminClient({**admin_properties(settings, bootstrap=bootstrap), "log_level": 0})
    _kept.append(admin)
    more = {"include_authorized_operations": True, "request_timeout": left(end)}
    answer = admin.describe_consumer_groups([settings.group_id], **more)[settings.group_id]

    def read(found: Any) -> Facts:
        members = [_member(each) for each in found.members]
        return {"state": found.state.name, "type": found.type.name, "may": _may(found), "members": members}

    return _asked(answer, end, read, {})


def _asked(answer: Any, end: float, read: Callable[[Any], Facts], words: dict[int, str]) -> Facts:
    from confluent_kafka import KafkaError, KafkaException

    denied = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)
    try:
        return read(answer.result(left(end) + 0.2))
    except KafkaException as error:
        inner = error.args[0]
        return {"error": "denied" if inner.code() in denied else words.get(inner.code(), inner.str())}
    except TimeoutError:
        return {"error": "no answer in time"}


def _may(found: Any) -> list[str] | None:
    operations = found.authorized_operations
    return None if operations is None else sorted(each.name for each in operations)


def _member(found: Any) -> Facts:
    parts = [[each.topic, each.partition] for each in found.assignment.topic_partitions]
    return {"client": found.client_id, "host": found.host.lstrip("/"), "partitions": parts}


def _there(settings: ConsumerSettings, found: Facts) -> list[Any]:
    from confluent_kafka import TopicPartition

    topics = [(name, found["topics"].get(name, {}).get("partitions", 0)) for name in settings.topics]
    return [TopicPartition(name, number) for name, count in topics for number in range(count)]


def _offsets(client: Any, settings: ConsumerSettings, found: Facts, end: float) -> list[Facts] | None:
    """Return the first and last offset of each partition, what is committed, and both once more a moment later."""
    places = _there(settings, found)
    if not places or found["group"].get("error") == "denied":
        return None
    rows = [{"topic": each.topic, "partition": each.partition} for each in places]
    first = _committed(client, places, end)
    for row, place in zip(rows, places, strict=True):
        row["low"], row["high"] = client.get_watermark_offsets(place, timeout=left(end))
        row["committed"] = first[place.topic, place.partition]
    if any(row["committed"] is None or row["committed"] < row["high"] for row in rows) and left(end) > BETWEEN + 1:
        time.sleep(BETWEEN)
        later = _committed(client, places, end)
        for row in rows:
            row["later"] = later[row["topic"], row["partition"]]
    return rows


def _committed(client: Any, places: list[Any], end: float) -> dict[tuple[str, int], int | None]:
    answer = client.committed(places, timeout=left(end))
    return {(each.topic, each.partition): each.offset if each.offset >= 0 else None for each in answer}


def _letters(client: Any, settings: ConsumerSettings, found: Facts, end: float) -> int | None:
    from confluent_kafka import TopicPartition

    topic = settings.dead_letter_topic
    count = found["topics"].get(topic, {}).get("partitions")
    may = found["topics"].get(topic, {}).get("may")
    if topic is None or count is None or not (may is None or "READ" in may):
        return None
    marks = [client.get_watermark_offsets(TopicPartition(topic, number), timeout=left(end)) for number in range(count)]
    return sum(int(high - low) for low, high in marks)


def _ahead(client: Any, settings: ConsumerSettings, found: Facts, end: float) -> str | None:
    """Return where a record lies whose time is still to come by our clock."""
    from confluent_kafka import TopicPartition

    when = int((time.time() + AHEAD) * 1000)
    places = [TopicPartition(each.topic, each.partition, when) for each in _there(settings, found)]
    answer = client.offsets_for_times(places, timeout=left(end)) if places else []
    return next((f"{each.topic}:{each.partition} at {each.offset}" for each in answer if each.offset >= 0), None)


_kept: list[Any] = []  # a client that is collected cancels what was asked of it
