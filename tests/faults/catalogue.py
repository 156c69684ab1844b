"""RUNS IN PYTEST: the list of all faults: what each is, how it is made, what is expected.

A function that makes one registers itself.

What can be made on a real Apache Kafka too is a fault of its own there, with "-real" behind its number.

The numbers are those of the list that the design was made against: C of a child, P of the supervisor, X of the
configuration, H of the host, T of time, K of Kafka, D of the database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from faults.scene import Scene

GROUPS = {
    "C": "A child",
    "P": "The supervisor",
    "K": "Kafka",
    "D": "The database",
    "X": "The configuration",
    "H": "The host",
    "T": "Time",
}


@dataclass(frozen=True, slots=True)
class Fault:
    id: str
    what: str
    injected: str
    expected: str
    inject: Callable[[Scene], None]
    mark: str = ""  # of pytest: what it needs

    @property
    def group(self) -> str:
        return self.id[0]


FAULTS: dict[str, Fault] = {}
NOT_HERE: dict[str, tuple[str, str]] = {}  # id: what it is, why it cannot be made on one machine


def fault(
    id: str, what: str, *, injected: str, expected: str, mark: str = ""
) -> Callable[[Callable[[Scene], None]], None]:
    """Register the function that makes this fault and asserts what is expected of it."""

    def register(inject: Callable[[Scene], None]) -> None:
        assert id not in FAULTS, id
        FAULTS[id] = Fault(id, what, injected, expected, inject, mark)

    return register


def order(id: str) -> tuple[int, int, str]:
    return list(GROUPS).index(id[0]), number(id), id


def number(id: str) -> int:
    return int(id[1:].partition("-")[0])
