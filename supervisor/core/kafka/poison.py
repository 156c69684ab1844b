"""Which record kills whoever handles it: three deaths at the same position, whatever process died.

A batch is one position, its first record, until it has killed twice; then it is handled record by record, so
the third death names the very record. Planned ends are no deaths. The memory is the supervisor's, per consumer:
after a death the partition may go to another member, which must not have to learn it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEATHS = 3
SUSPECT_AFTER = DEATHS - 1
# the black box's words for one record, and for many
HANDLING = {"handling": False, "handling batch": True, "handling lanes": True}
MOST = 1000  # quarantined records remembered; the oldest are forgotten first, long after their dead letter

Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Death:
    topic: str
    partition: int
    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class Streak:
    """Deaths in a row at one position of a partition; it may stand for any of the `window` records from there on."""

    offset: int
    count: int
    window: int


@dataclass(slots=True)
class Poison:
    """Of one consumer, all its members together."""

    streaks: dict[Partition, Streak] = field(default_factory=dict)
    quarantined: dict[tuple[str, int, int], str] = field(default_factory=dict)  # to the reason

    def died(self, death: Death, batch: int = 1) -> bool:
        """Remember a death, in a batch of at most `batch` records. True: a record is condemned by it."""
        where = (death.topic, death.partition)
        before = self.streaks.get(where)
        again = before is not None and _same(before, death.offset)
        count = before.count + 1 if before and again else 1
        self.streaks[where] = Streak(death.offset, count, batch)
        if count < DEATHS:
            return False
        del self.streaks[where]
        self.quarantined[(*where, death.offset)] = f"killed its process {DEATHS} times: {death.reason}"
        while len(self.quarantined) > MOST:
            del self.quarantined[next(iter(self.quarantined))]
        return True

    def orders(self) -> dict[str, Any]:
        """What a member has to know: records for the dead-letter topic, partitions to take record by record."""
        suspects = [list(where) for where, streak in self.streaks.items() if streak.count >= SUSPECT_AFTER]
        condemned = [[*position, reason] for position, reason in self.quarantined.items()]
        return {"quarantine": condemned, "one_by_one": suspects}

    def newest(self) -> dict[str, Any]:
        """As `orders`, but of the quarantined only the latest: it has to fit into one frame."""
        orders = self.orders()
        return orders | {"quarantine": orders["quarantine"][-1:], "one_by_one": orders["one_by_one"][-20:]}


def _same(streak: Streak, offset: int) -> bool:
    """The same position; once it is taken record by record, any record that the batch held."""
    window = 1 if streak.count < SUSPECT_AFTER else streak.window
    return streak.offset <= offset < streak.offset + window


def quarantine_of(orders: Mapping[str, Any]) -> dict[tuple[str, int, int], str]:
    """Return the condemned positions of `Poison.orders` with the reasons, on the member's side."""
    return {(str(t), int(p), int(o)): str(reason) for t, p, o, reason in orders.get("quarantine", ())}


def one_by_one_of(orders: Mapping[str, Any]) -> set[Partition]:
    return {(str(topic), int(partition)) for topic, partition in orders.get("one_by_one", ())}
