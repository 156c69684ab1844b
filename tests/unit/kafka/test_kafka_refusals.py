"""Whoever is refused by Kafka is told what it means and what to grant; whoever waits for something else is not."""

from __future__ import annotations

import pytest

from supervisor.core.kafka.refusals import refusal

PASSWORD = (
    "broker b:9092: sasl_plaintext://b:9092/bootstrap: SASL SCRAM-SHA-256 mechanism handshake: Authentication failed"
    " during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256 (after 310ms in state AUTH)"
)
CERTIFICATE = (
    "broker b:9093: ssl://b:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify"
    " failed: broker certificate could not be verified (after 7ms in state SSL_HANDSHAKE)"
)
NO_TLS = (
    "broker b:9092: sasl_ssl://b:9092/bootstrap: SSL handshake failed: Disconnected: SSL connection closed by peer:"
    " connecting to a PLAINTEXT broker listener? (after 109ms in state SSL_HANDSHAKE)"
)


@pytest.mark.parametrize(
    ("waiting", "means", "step"),
    [
        ('no right to read as group "g": grant READ on the group', "may not read as this group", "--group g  "),
        (
            'no right to read topic "t": grant READ and DESCRIBE on the topic',
            "may not read this topic",
            "--operation Describe --topic t  ",
        ),
        ("no right to read t: grant READ and DESCRIBE on the topic", "may not read this topic", "--topic t  "),
        ('topic "t" does not exist: create it', "not there", "--create --topic t"),
        (PASSWORD, "refuses user, password or mechanism", "sasl.password"),
        (CERTIFICATE, "not trusted here, out of date, or for another name", "ssl.ca.location"),
        (NO_TLS, "it speaks none at this port", "security.protocol"),
    ],
)
def test_it_says_what_to_grant_or_to_type(waiting: str, means: str, step: str) -> None:
    found = refusal(waiting)
    assert found is not None
    assert means in found.means
    assert step in found.steps[0]


@pytest.mark.parametrize("waiting", ["", "broker b:9092: Connection refused", "its partitions from group"])
def test_what_is_no_refusal_is_none(waiting: str) -> None:
    assert refusal(waiting) is None
