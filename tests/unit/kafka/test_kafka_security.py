"""The client that evicts is told the same about security, or says what it cannot be told."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.core.kafka.security import Unmappable, options


def test_without_security_there_is_none() -> None:
    assert options({"queued.min.messages": 3}) == {"security_protocol": "PLAINTEXT"}


def test_sasl_over_tls_is_translated() -> None:
    found = options(
        {
            "security.protocol": "sasl_ssl",
            "sasl.mechanism": "SCRAM-SHA-256",
            "sasl.username": "u",
            "sasl.password": "p",
            "ssl.ca.location": "/ca.pem",
            "ssl.endpoint.identification.algorithm": "none",
        }
    )
    assert found == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "u",
        "sasl_plain_password": "p",
        "ssl_cafile": "/ca.pem",
        "ssl_check_hostname": False,
    }


def test_the_older_name_of_the_mechanism_is_known() -> None:
    assert options({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "plain"})["sasl_mechanism"] == "PLAIN"


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"security.protocol": "SASL_SSL"}, "sasl.mechanism GSSAPI"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}, "sasl.mechanism OAUTHBEARER"),
        ({"ssl.ca.pem": "x"}, "ssl.ca.pem"),
        ({"enable.ssl.certificate.verification": False}, "enable.ssl.certificate.verification"),
    ],
)
def test_what_cannot_be_told_is_named(properties: dict[str, Any], said: str) -> None:
    with pytest.raises(Unmappable, match=f"{said}.* has no counterpart"):
        options(properties)
