"""Where to begin in a partition: what its members say that they handled, weighed against what is committed.

Each member says of itself only what is true for good: "before this offset all is handled". So the furthest word
counts, also that of a member that was frozen while others took its place, and nothing is skipped. Only one thing
makes such words untrue: somebody set the group's offsets back, to have the records again. That shows when less is
committed than a member saw; from then on only words of a newer generation count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from supervisor.core.kafka.page import NEVER, Cell


@dataclass(frozen=True, slots=True)
class Standing:
    generation: int = 1  # of what is written from now on
    position: int | None = None  # where to begin; None: at the committed offset
    rewound: bool = False  # the generation is a new one, which others have to know of at once


def standing(cells: Iterable[Cell], committed: int) -> Standing:
    """`cells`: of all members, of this partition; `committed`: NEVER when there is none."""
    known = list(cells)
    if not known:
        return Standing()
    generation = max(cell.generation for cell in known)
    newest = [cell for cell in known if cell.generation == generation]
    if any(cell.base > committed for cell in newest):
        return Standing(generation + 1, None, rewound=True)
    position = max(cell.position for cell in newest)
    return Standing(generation, position if position > max(committed, NEVER) else None)


def scope(*parts: str) -> bytes:
    return blake2b("\0".join(parts).encode(), digest_size=8).digest()


def topic_id(text: str) -> bytes:
    """Return the 16 bytes for a topic's id, whatever the broker calls it."""
    return blake2b(text.encode(), digest_size=16).digest()
