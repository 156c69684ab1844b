"""At most so many records a second, minute or hour: `rate = "100/s"`."""

from __future__ import annotations

import re

_RATE = re.compile(r"([1-9][0-9]{0,8})/([smh])", re.ASCII)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
EXPECTED = 'a rate like "100/s", "600/m" or "1000/h"'


def parse(text: str) -> float:
    """Return records per second. Raises ValueError.

    >>> parse("90/m")
    1.5
    """
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(EXPECTED)
    return int(match[1]) / _SECONDS[match[2]]


class Pace:
    """`per_second` in the long run; what was not used for up to a second may follow at once. Times are monotonic."""

    def __init__(self, per_second: float) -> None:
        self._every = 1.0 / per_second
        self._free = float("-inf")  # when the next record may begin

    def wait(self, now: float) -> float:
        """Return the seconds until one more may begin."""
        return max(0.0, self._free - now)

    def begin(self, count: int, now: float) -> None:
        """So many begin now."""
        self._free = max(self._free, now - 1.0) + count * self._every
