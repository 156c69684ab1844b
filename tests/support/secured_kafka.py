"""RUNS IN PYTEST: a real Apache Kafka that asks for a password and grants rights one by one, with TLS and without."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.kafka import Kafka
from support.real_kafka import RealKafka, free_ports, why_not

_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required username=admin password=admin-secret;"
MORE = f"""
inter.broker.listener.name=SASL_PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-256
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-256
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config={_LOGIN}
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={_LOGIN}
ssl.keystore.type=PEM
ssl.keystore.location=server.pem
ssl.truststore.type=PEM
ssl.truststore.location=authority.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
allow.everyone.if.no.acl.found=false
"""


class SecuredKafka(RealKafka):
    """Two users: admin, who may everything, and app, who may nothing until `grant`."""

    def _prepare(self, properties: str) -> str:
        (self.tls_port,) = free_ports(1)
        self.authority = certified(self.folder)
        plain = f"PLAINTEXT://127.0.0.1:{self.port}"
        return properties.replace(plain, f"SASL_{plain},SASL_SSL://127.0.0.1:{self.tls_port}") + MORE

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

    def over_tls(self, name: str = "app") -> dict[str, Any]:
        """Not for the host's name: the certificate says 127.0.0.1."""
        return {**self.as_user(name), "security.protocol": "SASL_SSL", "ssl.ca.location": str(self.authority)}

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


def certified(folder: Path) -> Path:
    """Write server.pem, key and certificate of 127.0.0.1; return the file of the authority, which is itself."""
    key, authority = folder / "key.pem", folder / "authority.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=broker -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(key), "-out", str(authority)]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    (folder / "server.pem").write_bytes(key.read_bytes() + authority.read_bytes())
    return authority


@contextmanager
def secured(folder: Path) -> Iterator[SecuredKafka]:
    if reason := why_not() or (None if shutil.which("openssl") else "openssl is not installed"):
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
