"""Durations as a person writes them ("500ms", "30s", "1h30m", "1d") and as the code uses them: seconds.

The text of a duration is exact: `parse(text(x)) == x` for each whole number of microseconds up to ten years.
For a table, where three digits are enough, use `core.words.short`.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

EXPECTED = 'a duration like "30s", "5m" or "1h30m"'
LONGEST = 3650 * 86400.0  # ten years: what is longer is a mistake

_UNITS = {
    "d": Decimal(86400),
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}
_ORDER = tuple(_UNITS)
_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,30})?)(ms|s|m|h|d)", re.ASCII)
_MOST_CHARACTERS = 100


class DurationError(ValueError):
    """`expected` says what is allowed, without what was found."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected


def parse(text: str) -> float:
    """Return seconds. Units are ms, s, m, h, d: each at most once, the largest first.

    Raises DurationError for anything else, and beyond ten years.

    >>> parse("1h30m")
    5400.0
    """
    if len(text) > _MOST_CHARACTERS:
        raise DurationError(EXPECTED, f"{len(text)} characters")
    parts = _PART.findall(text)
    units = [unit for _, unit in parts]
    if not parts or "".join(map("".join, parts)) != text or units != [u for u in _ORDER if u in units]:
        raise DurationError(EXPECTED, f'"{text}"')
    seconds = float(sum(Decimal(number) * _UNITS[unit] for number, unit in parts))
    if seconds > LONGEST:
        raise DurationError("a duration of at most 10 years (3650d)", f'"{text}"')
    return seconds


def text(seconds: float) -> str:
    """Return the shortest exact writing.

    Raises ValueError for what is negative, not finite, or beyond ten years.

    >>> [text(s) for s in (0, 0.5, 90, 5400, 90000)]
    ['0s', '500ms', '1m30s', '1h30m', '1d1h']
    """
    if not (math.isfinite(seconds) and 0 <= seconds <= LONGEST):
        raise ValueError(f"{seconds} is not a duration between 0 and 10 years")
    left = Decimal(repr(float(seconds)))
    pieces = []
    for unit, size in _UNITS.items():
        amount = left / size if unit == "ms" else left // size
        if amount:
            pieces.append(f"{amount.normalize():f}{unit}")
            left -= amount * size
    return "".join(pieces) or "0s"
