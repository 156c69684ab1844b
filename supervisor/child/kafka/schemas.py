"""RUNS IN A CHILD: values whose schema is in a Schema Registry: Avro, Protobuf, JSON Schema.

A value begins with the id of its schema. An id that the registry does not know makes a dead letter, with that reason;
a registry that does not answer is waited for. Needs the extra `forkwarden[schemas]`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervisor.child.loader import LoadError
from supervisor.core.errors import DependencyAway
from supervisor.core.kafka.decode import Decoder, Undecodable, validated
from supervisor.core.spec import ConsumerSettings

_NOT_FOUND = 404
_SHOWN = 300  # characters of a library's own words


def decoder(settings: ConsumerSettings, model: Any, title: str) -> Decoder:
    """Return the function for one consumer; `model` is what `Record[…]` of the handler names.

    Raises LoadError when the extra is missing, or a Protobuf handler does not say of which message class it is.
    """
    try:
        plain = _plain(settings, model, title)
    except ImportError as e:
        text = f'format "{settings.format}" needs "{e.name}": pip install "forkwarden[schemas]"'
        raise LoadError(f"{title}: {text}", permanent=True) from e
    return validated(_contained(plain), model if hasattr(model, "model_validate") else None)


def _plain(settings: ConsumerSettings, model: Any, title: str) -> Callable[[bytes], Any]:
    from confluent_kafka.schema_registry import SchemaRegistryClient

    client = SchemaRegistryClient(_configuration(settings))
    how: dict[str, Any] = {"subject.name.strategy": lambda *_: None}  # the id alone says which schema it is
    found: Any
    if settings.format == "avro":
        from confluent_kafka.schema_registry.avro import AvroDeserializer

        found = AvroDeserializer(client, conf=how)
    elif settings.format == "json-schema":
        from confluent_kafka.schema_registry.json_schema import JSONDeserializer

        found = JSONDeserializer(None, conf=how, schema_registry_client=client)
    else:
        from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer

        if not hasattr(model, "DESCRIPTOR"):
            text = 'format "protobuf" needs the class that protoc made: annotate the parameter as Record[ThatClass]'
            raise LoadError(f"{title}: {text}", permanent=True)
        found = ProtobufDeserializer(model, how, client)
    return lambda raw: found(raw, None)


def _configuration(settings: ConsumerSettings) -> dict[str, Any]:
    made: dict[str, Any] = {
        "url": settings.registry_url,
        "timeout": settings.registry_timeout,
        "max.retries": 0,  # the consumer waits by itself, and says so
    }
    if settings.registry_user is not None:
        made["basic.auth.user.info"] = f"{settings.registry_user}:{settings.registry_password or ''}"
    if settings.registry_ca is not None:
        made["ssl.ca.location"] = settings.registry_ca
    return made


def _contained(plain: Callable[[bytes], Any]) -> Decoder:
    def decode(raw: bytes | None) -> Any:
        if raw is None:  # a tombstone
            return None
        try:
            return plain(raw)
        except MemoryError:
            raise
        except Exception as e:
            if away := _away(e):
                raise DependencyAway(away) from e
            raise Undecodable(f"value: {_said(raw, e)}") from e

    return decode


def _away(error: Exception) -> str:
    """Return how the registry failed, or "" when the value is wrong. By names: there are two HTTP libraries."""
    code = getattr(error, "http_status_code", None)
    if code is not None:
        return "" if code == _NOT_FOUND else f"the Schema Registry answers {code}: {str(error)[:_SHOWN]}"
    if any(kind.__module__.startswith(("httpx", "httpcore")) for kind in type(error).__mro__):
        return f"the Schema Registry does not answer: {type(error).__name__}: {str(error)[:_SHOWN]}"
    return ""


def _said(raw: bytes, error: Exception) -> str:
    if getattr(error, "http_status_code", None) == _NOT_FOUND:
        return f"its schema (id {int.from_bytes(raw[1:5], 'big')}) is not in the registry"
    if raw[:1] != b"\0" or len(raw) < 5:
        return "expected a schema id in front, as serializers with a Schema Registry write it"
    return f"it does not fit its schema: {type(error).__name__}: {str(error)[:_SHOWN]}"
