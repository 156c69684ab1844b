"""RUNS IN A CHILD: where the embedded broker says that it listens, and who reads it."""

from __future__ import annotations

import os

from supervisor import plain
from supervisor.core.kafka.address import Address, from_text, to_text


def publish(path: str, address: Address) -> None:
    """Write the file at once or not at all; only its owner reads it."""
    draft = f"{path}.{address.pid}"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(to_text(address))
    os.replace(draft, path)


def withdraw(path: str, address: Address) -> None:
    """Remove the file, unless another incarnation has written its own by now."""
    if read(path) == address:
        os.unlink(path)


def read(path: str) -> Address | None:
    """Return None while no broker has said where it is."""
    try:
        with open(plain.opened(path)) as file:
            return from_text(file.read(4096))
    except (OSError, UnicodeDecodeError):
        return None
