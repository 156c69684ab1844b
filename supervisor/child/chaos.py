"""RUNS IN A CHILD, in its main thread: harm by order (`supervisor chaos`), to see that the supervisor heals it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from supervisor.child.usage import Usage
from supervisor.core.kafka.poison import HANDLING

if TYPE_CHECKING:
    from supervisor.child.runtime import Runtime

log = logging.getLogger(__name__)

HANG_BUDGET = 5.0  # seconds that the black box allows for what never ends: so long until it is called stuck
SLOW = 5.0  # seconds before the next run or record
LEAK = 256 * 1024 * 1024
_PIECE = 8 * 1024 * 1024
_WORK = ("running", *HANDLING)  # phases
_leaked: list[bytes] = []


def is_due(how: str, phase: str) -> bool:
    """`phase` is entered now; "" is a wake-up. What is slow waits for a run or a record."""
    return how != "slow" or phase in _WORK


def act(how: str, rt: Runtime) -> None:
    """Do it. A hang does not return."""
    log.warning("chaos: %s, by order", how)
    if how == "hang":
        _hang(rt)
    elif how == "leak":
        _leak(rt)
    elif how == "slow":
        time.sleep(SLOW)


def _hang(rt: Runtime) -> None:
    rt.enter("chaos", "hang", budget=HANG_BUDGET)
    while True:  # it hears neither drain nor SIGTERM, as the real ones do not
        pass


def _leak(rt: Runtime) -> None:
    """Until max_rss is exceeded, or 256 MiB; what is taken stays."""
    usage, limit = Usage(), rt.spec.policy.max_rss
    while len(_leaked) * _PIECE < LEAK and (limit is None or usage.rss() <= limit) and not rt.leaving:
        _leaked.append(b"\x01" * _PIECE)
        time.sleep(0.01)
    log.warning("chaos: leaked %d MiB", len(_leaked) * _PIECE >> 20)
