from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from supervisor.core.kafka.record import Record, delivered


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


def test_what_is_not_asked_for_is_not_made_and_then_all_at_once() -> None:
    calls: list[str] = []

    def fill(made: Record, key: bytes) -> None:
        calls.append("filled")
        for name, value in {"key": key, "headers": (), "topic": "t", "partition": 1, "offset": 7}.items():
            object.__setattr__(made, name, value)
        object.__setattr__(made, "timestamp", None)
        object.__setattr__(made, "attempt", 2)

    def made() -> Record:
        return delivered("v", (fill, b"k"))

    plain = Record("v", b"k", (), "t", 1, 7, None, 2)
    one = made()
    assert (one.value, calls) == ("v", [])
    assert (one.offset, one.key, one.id, calls) == (7, b"k", "t:1:7", ["filled"])
    assert made() == plain
    assert hash(made()) == hash(plain)
    assert repr(made()) == repr(plain)
    assert pickle.loads(pickle.dumps(made())) == plain
    assert copy.deepcopy(made()) == plain
    assert dataclasses.replace(made(), offset=9).offset == 9
    with pytest.raises(AttributeError, match="'Record' object has no attribute 'valeu'"):
        made().valeu  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        object.__new__(Record).offset
