"""A handler's signature says whether it takes one record or many, and of what shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from supervisor.core.kafka.record import Record
from supervisor.core.kafka.shape import Shape, ShapeError, shape


class Event:
    @classmethod
    def model_validate(cls, value: Any) -> Any:
        return value


def plain(record, db): ...  # type: ignore[no-untyped-def]
def many(records, db): ...  # type: ignore[no-untyped-def]
def annotated(record: Record, db: Any) -> None: ...
def batch(records: list[Record]) -> None: ...
def under_another_name(event: Record[Event], db: Any) -> None: ...
def a_sequence(events: Sequence[Record[Event]]) -> None: ...
def of_a_plain_type(record: Record[dict[str, int]]) -> None: ...
def annotation_wins(records: Record) -> None: ...
async def later(record: Record[Event]) -> None: ...


class Callee:
    def __call__(self, record: Record) -> None: ...


class Method:
    def handle(self, records: list[Record]) -> None: ...


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (plain, Shape("record", False, None)),
        (many, Shape("records", True, None)),
        (annotated, Shape("record", False, None)),
        (batch, Shape("records", True, None)),
        (under_another_name, Shape("event", False, Event)),
        (a_sequence, Shape("events", True, Event)),
        (of_a_plain_type, Shape("record", False, None)),
        (annotation_wins, Shape("records", False, None)),
        (later, Shape("record", False, Event)),
        (Callee(), Shape("record", False, None)),
        (Method().handle, Shape("records", True, None)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_signature_is_read(handler: Callable[..., Any], expected: Shape) -> None:
    assert shape(handler) == expected


def test_a_name_for_type_checkers_only_is_no_error() -> None:
    def handler(record: Unknown) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert shape(handler) == Shape("record", False, None)


def test_a_handler_without_a_place_for_records_is_refused() -> None:
    def handler(db: Any, message: Any) -> None: ...

    with pytest.raises(ShapeError, match=r'handler: expected a parameter "record".*found \(db, message\)'):
        shape(handler)


def test_a_handler_with_two_places_is_refused() -> None:
    def handler(record: Record, records: list[Record]) -> None: ...

    with pytest.raises(ShapeError, match="expected one parameter for records, found record and records"):
        shape(handler)
