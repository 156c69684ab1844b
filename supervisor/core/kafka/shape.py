"""What a handler's signature says: one record or a batch, under which parameter name, with a model or not.

`record` and `records` are known by name; under another name the annotation decides.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from supervisor.core.errors import SupervisorError
from supervisor.core.kafka.record import Record


class ShapeError(SupervisorError):
    """No retry mends it: the handler has to be written in another way."""


@dataclass(frozen=True, slots=True)
class Shape:
    parameter: str
    batch: bool
    model: Any  # a class with model_validate, one that protoc made, or None


def shape(handler: Callable[..., Any]) -> Shape:
    """Read the signature. Raises ShapeError when no parameter takes a record."""
    title = f"{getattr(handler, '__module__', '?')}:{getattr(handler, '__qualname__', repr(handler))}"
    names = list(inspect.signature(handler).parameters)
    hints = _hints(handler)
    annotated = [name for name in names if _is_record(hints.get(name)) or _is_batch(hints.get(name))]
    named = [name for name in ("record", "records") if name in names]
    candidates = annotated or named
    if not candidates:
        raise ShapeError(
            f'{title}: expected a parameter "record" or "records: list[Record]", found ({", ".join(names)})'
        )
    if len(candidates) > 1:
        raise ShapeError(f"{title}: expected one parameter for records, found {' and '.join(candidates)}")
    name = candidates[0]
    hint = hints.get(name)
    batch = _is_batch(hint) or (name == "records" and not _is_record(hint))
    return Shape(name, batch, _model(title, hint))


def _hints(handler: Callable[..., Any]) -> dict[str, Any]:
    """Annotations that cannot be evaluated (names imported for type checkers only) are of no use, and no error."""
    target = handler if inspect.isroutine(handler) else getattr(handler, "__call__", handler)  # noqa: B004
    try:
        return typing.get_type_hints(inspect.unwrap(target))
    except Exception:
        return {}


def _is_record(hint: Any) -> bool:
    return hint is Record or typing.get_origin(hint) is Record


def _is_batch(hint: Any) -> bool:
    """`list[Record]`, Sequence and the like."""
    return typing.get_origin(hint) not in (None, Record) and any(_is_record(part) for part in typing.get_args(hint))


def _model(title: str, hint: Any) -> Any:
    if _is_batch(hint):
        hint = next(part for part in typing.get_args(hint) if _is_record(part))
    arguments = typing.get_args(hint) if _is_record(hint) else ()
    known = ("model_validate", "DESCRIPTOR")  # pydantic's, and what protoc made
    return arguments[0] if arguments and any(hasattr(arguments[0], name) for name in known) else None
