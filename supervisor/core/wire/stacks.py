"""All Python stacks of a process as numbered parts, each of which fits a frame, and together again. Bounded."""

from __future__ import annotations

import json

from supervisor.core.wire.messages import MAX_PARTS, ROOM, Stacks

CUT = "\n…(cut)\n"


def split(id: str, text: str) -> list[Stacks]:
    """Return at least one part. What does not fit MAX_PARTS of them is cut off, and that is said."""
    pieces: list[str] = []
    at = 0
    while at < len(text) and len(pieces) <= MAX_PARTS:
        size = ROOM
        while len(json.dumps(text[at : at + size])) > ROOM:
            size = size * 3 // 4
        pieces.append(text[at : at + size])
        at += size
    if len(pieces) > MAX_PARTS:
        pieces[MAX_PARTS - 1 :] = [CUT]
    return [Stacks(id, part, len(pieces) or 1, piece) for part, piece in enumerate(pieces or [""])]


class Parts:
    """The parts of one answer, in whatever order they come."""

    def __init__(self) -> None:
        self._of = 0
        self._texts: dict[int, str] = {}

    def add(self, part: Stacks) -> str | None:
        """Return the whole text once all parts are there."""
        if part.of != self._of:  # the first one, or a child that contradicts itself
            self._of, self._texts = part.of, {}
        self._texts[part.part] = part.text
        if len(self._texts) < self._of:
            return None
        return "".join(self._texts[number] for number in range(self._of))
