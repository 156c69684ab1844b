"""librdkafka's security properties to the options of kafka-python, whose admin client alone removes group members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SAME = {
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "ssl.ca.location": "ssl_cafile",
    "ssl.certificate.location": "ssl_certfile",
    "ssl.key.location": "ssl_keyfile",
    "ssl.key.password": "ssl_password",
    "ssl.crl.location": "ssl_crlfile",
}
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_NO_COUNTERPART = (
    "ssl.ca.pem",
    "ssl.certificate.pem",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.engine.location",
    "ssl.providers",
)


class Unmappable(Exception):
    """The other client cannot be told so."""


def options(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return kafka-python's options. Raises Unmappable with the property at fault."""
    protocol = str(properties.get("security.protocol", "plaintext")).upper()
    found: dict[str, Any] = {"security_protocol": protocol}
    if protocol.startswith("SASL"):
        found["sasl_mechanism"] = _mechanism(properties)
    for name, value in properties.items():
        if name in _NO_COUNTERPART:
            raise Unmappable(f"{name} has no counterpart")
        if name in _SAME:
            found[_SAME[name]] = str(value)
    if _is_off(properties.get("enable.ssl.certificate.verification", True)):
        raise Unmappable("enable.ssl.certificate.verification = false has no counterpart")
    if str(properties.get("ssl.endpoint.identification.algorithm", "https")) == "none":
        found["ssl_check_hostname"] = False
    return found


def _mechanism(properties: Mapping[str, Any]) -> str:
    """librdkafka's default is GSSAPI."""
    found = str(properties.get("sasl.mechanism", properties.get("sasl.mechanisms", "GSSAPI"))).upper()
    if found not in _MECHANISMS:
        raise Unmappable(f"sasl.mechanism {found} has no counterpart")
    return found


def _is_off(value: object) -> bool:
    return str(value).lower() in ("false", "0", "no")
