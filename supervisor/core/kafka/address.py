"""The embedded broker's address, as it stands in the state folder."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """Where the embedded broker listens. A new incarnation begins at offset 0 again: no stored position holds."""

    bootstrap_servers: str
    incarnation: str
    pid: int


def to_text(address: Address) -> str:
    names = {"bootstrap_servers": address.bootstrap_servers, "incarnation": address.incarnation, "pid": address.pid}
    return json.dumps(names)


def from_text(text: str) -> Address | None:
    """Return None when the text is not an address."""
    try:
        data = json.loads(text)
        return Address(str(data["bootstrap_servers"]), str(data["incarnation"]), int(data["pid"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
