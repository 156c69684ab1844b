"""RUNS IN A CHILD, in the thread that owns the client: offsets that the broker no longer has, and how many that were.

librdkafka then goes on where auto_offset_reset says, and tells it in a line of its log only.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from confluent_kafka import Message

from supervisor.child.runtime import Runtime
from supervisor.core.kafka.lag import Place

log = logging.getLogger(__name__)

_RESET = re.compile(r"(\S+) \[(\d+)\]: offset reset \(at offset (\d+)\b.*\bout of range", re.IGNORECASE)


class Resets:
    def __init__(self) -> None:
        self._open: dict[Place, int] = {}  # the offset that was asked for; the first record tells where it goes on

    def __bool__(self) -> bool:
        return bool(self._open)

    def hear(self, line: str) -> None:
        """A line of the client's log."""
        if found := _RESET.search(line):
            self._open[found[1], int(found[2])] = int(found[3])

    def tell(self, rt: Runtime, records: Sequence[Message]) -> None:
        """Say what was never read, once its partition goes on."""
        for record in records:
            place = str(record.topic()), int(record.partition() or 0)
            asked = self._open.pop(place, None)
            if asked is not None:
                text = words(place, asked, int(record.offset() or 0))
                log.error("%s", text)
                rt.notice("error", "offsets_gone", text)


def words(place: Place, asked: int, found: int) -> str:
    where = f"{place[0]}:{place[1]}"
    if found > asked:
        return (
            f"{where}: {found - asked} records were deleted before they were read, offsets {asked} to {found - 1}; "
            f"it goes on at {found}: the topic keeps its records for less time than this consumer was behind"
        )
    return f"{where}: offset {asked} is behind the end, the topic was made anew or cut; it goes on at {found}"
