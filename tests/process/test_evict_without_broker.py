"""Whatever goes wrong, an eviction is a word and never an error."""

from __future__ import annotations

import socket

from supervisor.helper.evict import evict
from support.forked import call


def test_a_broker_that_is_away_is_a_reason() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    said = call(evict, f"127.0.0.1:{port}", {}, "g", "member", 1.0)
    assert said.startswith("failed: ")
    assert "Kafka" in said or "Broker" in said


def test_the_embedded_broker_is_not_asked() -> None:
    assert "session timeout" in evict("embedded", {}, "g", "member", 1.0)


def test_without_a_member_id_there_is_nobody_to_evict() -> None:
    assert evict("127.0.0.1:1", {}, "g", "", 1.0) == "the process had no member id yet"


def test_security_that_the_other_client_does_not_know_is_said() -> None:
    said = evict("127.0.0.1:1", {"security.protocol": "SASL_SSL", "sasl.mechanism": "GSSAPI"}, "g", "member", 1.0)
    assert said == "cannot: sasl.mechanism GSSAPI has no counterpart in the client that evicts"
