"""A consumer that waits because it is refused: what that means, and what to grant or to type. By librdkafka's words."""

from __future__ import annotations

import re
from dataclasses import dataclass

_GROUP = re.compile(r'no right to read as group "([^"]*)"')
_TOPIC = re.compile(r'no right to read (?:topic )?"?([^":]*)"?: grant READ')
_MISSING = re.compile(r'(?:topic )?"?([^":;]*)"? does not exist: create it')
_ACLS = "kafka-acls.sh --bootstrap-server SERVERS --add --allow-principal User:NAME"
_CERTIFICATE = (
    "openssl s_client -connect HOST:PORT </dev/null | openssl x509 -noout -issuer -enddate -ext subjectAltName"
)
_WHO = "(NAME: sasl.username; by an administrator of Kafka)"


@dataclass(frozen=True, slots=True)
class Refusal:
    means: str
    steps: tuple[str, ...]


def refusal(waiting: str) -> Refusal | None:
    """Return what is behind the text that a consumer gives for its waiting; None: it is not refused."""
    words = waiting.lower()
    if found := _GROUP.search(waiting):
        means = "the broker knows its user, who may not read as this group; nothing is lost, it goes on once it may"
        return Refusal(means, (f"{_ACLS} --operation Read --group {found[1]}   {_WHO}",))
    if found := _TOPIC.search(waiting):
        means = "the broker knows its user, who may not read this topic; nothing is lost, it goes on once it may"
        return Refusal(means, (f"{_ACLS} --operation Read --operation Describe --topic {found[1].strip()}   {_WHO}",))
    if found := _MISSING.search(waiting):
        step = f"kafka-topics.sh --bootstrap-server SERVERS --create --topic {found[1].strip()}"
        return Refusal("the topic is not there; it goes on once somebody has made it", (step,))
    if "certificate" in words:
        means = (
            "the broker is there and speaks TLS, but its certificate does not hold: signed by an authority that is not"
            " trusted here, out of date, or for another name than that in bootstrap_servers"
        )
        ca = "ssl.ca.location in [kafka] properties   (the file of the authority that signed the broker's certificate)"
        return Refusal(means, (ca, f"{_CERTIFICATE}   (who signed it, until when, for which names)"))
    if "ssl handshake" in words:
        means = "the broker is there, and TLS with it fails: it speaks none at this port, or another version of it"
        keys = "security.protocol in [kafka] properties, and the port in bootstrap_servers"
        return Refusal(means, (keys, "supervisor doctor"))
    if "authentication fail" in words or "invalid credentials" in words or "sasl" in words:
        means = "the broker is there and refuses user, password or mechanism; it is asked again at growing intervals"
        keys = "sasl.username, sasl.password and sasl.mechanism in [kafka] properties"
        return Refusal(means, (f"{keys}   (saved, they are tried at once)", "supervisor config show"))
    return None
