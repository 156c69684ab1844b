"""RUNS IN A CHILD: one partition for as long as it is read without a break, and what belongs to that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from confluent_kafka import Message

from supervisor.core.kafka.lag import Place
from supervisor.core.kafka.offsets import Prefix


@dataclass(slots=True, eq=False)
class Lease:
    """One partition for as long as it is read without a break."""

    place: Place
    prefix: Prefix = field(default_factory=Prefix)
    live: bool = True  # its records may be handled
    ours: bool = True  # it is the present one of its partition, and what is handled is to be noted
    moved: bool = False  # something was handled since the owner thread has looked


class Item(NamedTuple):
    lease: Lease
    offset: int
    message: Message


@dataclass(frozen=True, slots=True)
class Hold:
    """This partition is paused, set back to its first open record, and read again after `seconds`."""

    lease: Lease
    seconds: float
