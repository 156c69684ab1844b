"""Background work that does not die silently: one small parent, every consumer and task in a process of its own."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervisor.child.context import ConsumerContext as ConsumerContext
    from supervisor.child.context import Context as Context
    from supervisor.core.errors import DependencyAway as DependencyAway
    from supervisor.core.kafka.record import Record as Record
    from supervisor.core.kafka.verdicts import BatchError as BatchError
    from supervisor.core.kafka.verdicts import DeadLetter as DeadLetter
    from supervisor.core.kafka.verdicts import Retry as Retry
    from supervisor.core.kafka.verdicts import Skip as Skip
    from supervisor.core.kafka.verdicts import StopPartition as StopPartition

__version__ = "0.1.0"
_HOMES = {
    "Context": "supervisor.child.context",
    "ConsumerContext": "supervisor.child.context",
    "DependencyAway": "supervisor.core.errors",
    "Record": "supervisor.core.kafka.record",
    **dict.fromkeys(("BatchError", "DeadLetter", "Retry", "Skip", "StopPartition"), "supervisor.core.kafka.verdicts"),
}
__all__ = [
    *("BatchError", "ConsumerContext", "Context", "DeadLetter", "DependencyAway", "Record"),
    *("Retry", "Skip", "StopPartition", "__version__"),
]


def __getattr__(name: str) -> Any:
    """The names that user code imports come from where they live when asked for: `supervisor status` needs none."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
