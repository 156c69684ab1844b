"""How many dead letters are plausible: a bug in the handler must not drain a whole topic into another one.

Counted for each partition. Beyond the limit the partition pauses at the record, which is tried again from time to
time; once one is handled it goes on. Idea and form: Arroyo's DlqLimit.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterLimit:
    ratio: float = 0.2  # of the last `window` records; 1 never ends
    window: int = 500
    consecutive: int = 50


class Tally:
    """Of one partition."""

    __slots__ = ("_limit", "_recent", "_row", "_sent")

    def __init__(self, limit: LetterLimit) -> None:
        self._limit = limit
        self._recent: deque[bool] = deque(maxlen=limit.window)  # True: it became a dead letter
        self._sent = self._row = 0

    def handled(self) -> None:
        self._row = 0
        self._add(letter=False)

    def letter(self) -> None:
        self._row += 1
        self._add(letter=True)

    def _add(self, *, letter: bool) -> None:
        if len(self._recent) == self._limit.window:
            self._sent -= self._recent[0]
        self._recent.append(letter)
        self._sent += letter

    def refusal(self) -> str:
        """Return why no further dead letter is plausible; "" while one is."""
        limit = self._limit
        if self._row >= limit.consecutive:
            return f"{self._row} dead letters in a row (dead_letter_limit.consecutive = {limit.consecutive})"
        if limit.ratio < 1 and self._sent + 1 > limit.ratio * limit.window:
            of = f"{self._sent} of the last {len(self._recent)} records became dead letters"
            return f"{of} (dead_letter_limit.ratio = {limit.ratio:g} of {limit.window})"
        return ""
