"""Waiting for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], within: float = 10.0, every: float = 0.01, what: str = "") -> T:
    """Return the first truthy value of `condition()`; fail when there was none in `within` seconds."""
    end = time.monotonic() + within
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {within:g} s: {what or condition}; last value {value!r}")
        time.sleep(every)
    return value
