"""Background work that does not die silently: one small parent, every consumer and task in a process of its own."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervisor.child.context import Context as Context
    from supervisor.core.kafka.record import Record as Record

__version__ = "0.1.0"
__all__ = ["Context", "Record", "__version__"]

_HOMES = {"Context": "supervisor.child.context", "Record": "supervisor.core.kafka.record"}


def __getattr__(name: str) -> Any:
    """The names that user code imports come from where they live when asked for: `supervisor status` needs none."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
