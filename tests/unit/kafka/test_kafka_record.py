from __future__ import annotations

import dataclasses

import pytest

from supervisor.core.kafka.record import Record


def test_the_id_is_the_same_for_every_delivery() -> None:
    first = Record("x", topic="a", partition=2, offset=7)
    again = dataclasses.replace(first, attempt=3)
    assert first.id == again.id == "a:2:7"


def test_of_headers_of_one_name_the_last_counts() -> None:
    record = Record(1, headers=(("a", b"1"), ("b", b"2"), ("a", None)))
    assert record.header("b") == b"2"
    assert record.header("a") is None
    assert record.header("c") is None


def test_a_handler_cannot_change_a_record() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Record(1).value = 2  # type: ignore[misc]
