"""RUNS IN PYTEST: a real Apache Kafka that asks for a password and grants rights one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.kafka import Kafka
from support.real_kafka import RealKafka, why_not

MORE = """
sasl.enabled.mechanisms=SCRAM-SHA-256
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-256
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule \
required username="admin" password="admin-secret";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
allow.everyone.if.no.acl.found=false
"""


class SecuredKafka(RealKafka):
    """Two users: admin, who may everything, and app, who may nothing until `grant`."""

    def _prepare(self, properties: str) -> str:
        secured = properties.replace("PLAINTEXT:PLAINTEXT", "SASL_PLAINTEXT:SASL_PLAINTEXT")
        secured = secured.replace("CONTROLLER:SASL_PLAINTEXT:SASL_PLAINTEXT", "CONTROLLER:PLAINTEXT")
        secured = secured.replace("=PLAINTEXT", "=SASL_PLAINTEXT")
        return secured.replace("PLAINTEXT,PLAINTEXT:", "PLAINTEXT,SASL_PLAINTEXT:") + MORE

    def _users(self) -> list[str]:
        names = ("admin", "app")
        return [
            part for name in names for part in ("--add-scram", f"SCRAM-SHA-256=[name={name},password={name}-secret]")
        ]

    @property
    def client(self) -> dict[str, Any]:
        return {"bootstrap.servers": self.bootstrap, **self.as_user("admin")}

    @staticmethod
    def as_user(name: str, password: str | None = None) -> dict[str, Any]:
        return {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-256",
            "sasl.username": name,
            "sasl.password": password or f"{name}-secret",
        }

    def kafka(self) -> Kafka:
        return Kafka(self.bootstrap, False, self.create, self.as_user("app"), self.as_user("admin"))

    def grant(self, kind: str, name: str, right: str = "READ") -> None:
        """Give the user app a right on a "topic" or "group"."""
        from confluent_kafka.admin import (  # type: ignore[attr-defined]
            AclBinding,
            AclOperation,
            AclPermissionType,
            AdminClient,
            ResourcePatternType,
            ResourceType,
        )

        admin = AdminClient({**self.client, "log_level": 2})
        resource = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP}[kind]
        allowed = AclOperation[right], AclPermissionType.ALLOW
        binding = AclBinding(resource, name, ResourcePatternType.LITERAL, "User:app", "*", *allowed)
        admin.create_acls([binding])[binding].result(30)


@contextmanager
def secured(folder: Path) -> Iterator[SecuredKafka]:
    if reason := why_not():
        pytest.skip(reason)
    server = SecuredKafka(folder)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """One for a file: its tests grant rights, which stay."""
    with secured(tmp_path_factory.mktemp("secured")) as server:
        yield server
