"""Values whose schema is in a Schema Registry: Avro, Protobuf, JSON Schema, asked for over real HTTP."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from google.protobuf import descriptor_pb2

from support.eventually import eventually
from support.kafka import WITHIN, Consumer, Kafka, consumer_spec
from support.registry import Registry, registry

ORDER = {
    "type": "record",
    "name": "Order",
    "fields": [{"name": "id", "type": "int"}, {"name": "note", "type": ["null", "bytes"], "default": None}],
}
JSON_ORDER = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
PROTO = """
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
made = descriptor_pb2.FileDescriptorProto(name="order.proto", package="shop", syntax="proto3")
made.message_type.add(name="Order").field.add(name="id", number=1, type=5, label=1)
descriptor_pool.Default().Add(made)
Order = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName("shop.Order"))

def store(record: Record[Order]):
    tell(record.value.id if record.value is not None else None)
"""


@pytest.fixture
def schemas() -> Iterator[Registry]:
    with registry() as made:
        yield made


def framed(number: int, raw: bytes) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + raw


def avro(number: int, value: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(dict(ORDER)), value)
    return framed(number, out.getvalue())


def test_avro_is_read_by_the_schema_that_it_names_which_is_asked_for_once(
    broker: Kafka, tmp_path: Path, schemas: Registry
) -> None:
    topic = broker.topic()
    schemas.add(7, json.dumps(ORDER))
    broker.produce(topic, [avro(7, {"id": 1}), avro(7, {"id": 2, "note": b"x"}), None])
    code = "def store(record):\n    tell(record.value and record.value['id'])\n"
    spec = consumer_spec(
        broker, topic, format="avro", registry_url=schemas.url, registry_user="me", registry_password="secret"
    )
    with Consumer(tmp_path, spec, code) as member:
        assert member.wait_got(3) == [1, 2, None]
        assert len(schemas.asked) == 1
        assert schemas.authorization == ["Basic " + base64.b64encode(b"me:secret").decode()]


def test_avro_can_be_validated_by_a_model(broker: Kafka, tmp_path: Path, schemas: Registry) -> None:
    topic = broker.topic()
    broker.produce(topic, [avro(schemas.add(7, json.dumps(ORDER)), {"id": 5})])
    code = """
import pydantic
class Order(pydantic.BaseModel):
    id: int

def store(record: Record[Order]):
    tell(record.value.id)
"""
    spec = consumer_spec(broker, topic, format="avro", registry_url=schemas.url)
    with Consumer(tmp_path, spec, code) as member:
        assert member.wait_got(1) == [5]


def test_json_schema_is_read_and_what_does_not_fit_is_a_dead_letter(
    broker: Kafka, tmp_path: Path, schemas: Registry
) -> None:
    topic, letters = broker.topic(), broker.topic()
    schemas.add(3, json.dumps(JSON_ORDER), "JSON")
    broker.produce(topic, [framed(3, b'{"id": 1}'), framed(3, b'{"id": "one"}'), framed(3, b'{"id": 2}')])
    spec = consumer_spec(broker, topic, dead_letter_topic=letters, format="json-schema", registry_url=schemas.url)
    with Consumer(tmp_path, spec) as member:
        assert member.wait_got(2) == [{"id": 1}, {"id": 2}]
        headers = dict(broker.read(letters, 1)[0].headers())
        assert b"it does not fit its schema" in headers["kafka_dlt-exception-message"]


def test_protobuf_is_read_into_the_class_of_the_annotation(broker: Kafka, tmp_path: Path, schemas: Registry) -> None:
    topic = broker.topic()
    made = descriptor_pb2.FileDescriptorProto(name="order.proto", package="shop", syntax="proto3")
    made.message_type.add(name="Order").field.add(name="id", number=1, type=5, label=1)
    schemas.add(9, base64.b64encode(made.SerializeToString()).decode(), "PROTOBUF")
    broker.produce(topic, [framed(9, b"\x00\x08\x2a"), None])
    spec = consumer_spec(broker, topic, format="protobuf", registry_url=schemas.url)
    with Consumer(tmp_path, spec, PROTO) as member:
        assert member.wait_got(2) == [42, None]


def test_protobuf_without_its_class_ends_the_process_for_good(embedded_kafka: Kafka, tmp_path: Path) -> None:
    spec = consumer_spec(embedded_kafka, "any", format="protobuf", registry_url="http://127.0.0.1:1")
    with Consumer(tmp_path, spec) as member:
        assert member.exit_code(WITHIN) == 78
        assert member.bye is not None
        assert "annotate the parameter as Record[ThatClass]" in member.bye.reason


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (framed(404, b"\x02"), "its schema (id 404) is not in the registry"),
        (b"{}", "expected a schema id in front"),
        (b"\0\0", "expected a schema id in front"),
        (b"", "expected a schema id in front"),
        (framed(7, b""), "it does not fit its schema"),
        (framed(7, b"\x02\x02" + b"\x80\x80\x80\x80\x08" + b"x" * 20), "it does not fit its schema"),
        (framed(7, b"\x02\x02" + b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"), "it does not fit its schema"),
    ],
    ids=["unknown id", "plain JSON", "cut off", "empty", "no data", "claims a gigabyte", "claims everything"],
)
def test_what_cannot_be_read_is_a_dead_letter_at_once_with_the_reason(
    broker: Kafka, tmp_path: Path, schemas: Registry, bad: bytes, said: str
) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, [bad, avro(schemas.add(7, json.dumps(ORDER)), {"id": 1})])
    code = "def store(record):\n    tell([record.value['id'], record.attempt])\n"
    spec = consumer_spec(broker, topic, dead_letter_topic=letters, format="avro", registry_url=schemas.url)
    with Consumer(tmp_path, spec, code) as member:
        letter = broker.read(letters, 1)[0]
        headers = dict(letter.headers())
        assert letter.value() == bad
        assert said in headers["kafka_dlt-exception-message"].decode()
        assert headers["x-forkwarden-attempts"] == b"1"
        assert member.wait_got(1) == [[1, 1]]


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_registry_that_fails_is_waited_for_and_no_record_is_given_up(
    broker: Kafka, tmp_path: Path, schemas: Registry, lanes: int
) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, [avro(schemas.add(7, json.dumps(ORDER)), {"id": 1})])
    schemas.broken = 500
    code = "def store(record):\n    tell([record.value['id'], record.attempt])\n"
    spec = consumer_spec(
        broker, topic, dead_letter_topic=letters, format="avro", registry_url=schemas.url, concurrency=lanes
    )
    with Consumer(tmp_path, spec, code) as member:
        member.wait_waiting("the Schema Registry answers 500")
        eventually(lambda: len(schemas.asked) >= 2, within=WITHIN)
        schemas.broken = 0
        assert member.wait_got(1) == [[1, 1]]
        member.wait_facts(lambda facts: facts["waiting"] is None, WITHIN)
    assert broker.end(letters) == 0


def test_a_registry_that_nobody_runs_is_waited_for(broker: Kafka, tmp_path: Path) -> None:
    topic, letters = broker.topic(), broker.topic()
    broker.produce(topic, [avro(7, {"id": 1})])
    spec = consumer_spec(
        broker, topic, dead_letter_topic=letters, format="avro", registry_url="http://127.0.0.1:1", registry_timeout=1.0
    )
    with Consumer(tmp_path, spec) as member:
        member.wait_waiting("the Schema Registry does not answer")
        assert member.stop() == 0
    assert broker.end(letters) == 0
