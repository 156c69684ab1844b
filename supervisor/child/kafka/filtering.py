"""RUNS IN A CHILD: the user's function that says which records are wanted: found, and matched with what it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from supervisor.child.loader import LoadError, load
from supervisor.core.kafka.record import Record
from supervisor.core.spec import ConsumerSettings

Filter = Callable[[Record], Any]


def filter_of(settings: ConsumerSettings) -> Filter | None:
    """Return the user's function, which says by its answer whether a record is wanted. Raises LoadError."""
    if settings.filter is None:
        return None
    found = load(settings.filter)
    if inspect.iscoroutinefunction(found) or inspect.isgeneratorfunction(found):
        raise LoadError(f"{settings.filter}: expected a plain function that returns true or false", permanent=True)
    try:
        inspect.signature(found).bind(None)
    except (TypeError, ValueError) as e:
        raise LoadError(f"{settings.filter}: expected a function of one record: {e}", permanent=True) from e
    return found
