"""RUNS IN A CHILD: how long before its slot a run is prepared, and the exact wait for the slot.

What comes before the call (the record, the context) takes a millisecond, more on a busy machine, and far more when
two hundred tasks are due at once. It is done ahead, so that nothing but the call is left at the slot.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from supervisor.child.runtime import Runtime

LEAST, MOST = 0.01, 0.25  # seconds
_FIRST = 0.02
_FADES = 0.9  # of the lead stays after a run that needed less
_LATE = 1.0  # seconds behind the slot: the process was frozen, or the clock was set; that is decided anew


class Lead:
    """Follows what preparing took lately, from the moment it should have begun."""

    def __init__(self) -> None:
        self.seconds = _FIRST

    def learn(self, took: float) -> None:
        self.seconds = min(MOST, max(LEAST, 2 * took, _FADES * self.seconds))


def reached(rt: Runtime, at: float, given_up: Callable[[], bool]) -> bool:
    """Wait for `at`, by the wall clock, to the microsecond. False: it is not to be waited for any more.

    That is when it is `given_up`, asked at every wake-up and at the end, or when the clock is far from where it was.
    """
    while not given_up():
        left = at - time.time()
        if left <= 0:
            return left > -_LATE
        if left > MOST + _LATE:
            return False
        select.select([rt.wake_fd], [], [], left)  # poll() knows whole milliseconds only
        rt.acknowledge()
    return False
