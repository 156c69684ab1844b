"""What is handled behind a committed offset, as text that survives in Kafka."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.kafka.gaps import MARK, ROOM, Run, decode, encode


@st.composite
def runs(draw: st.DrawFn) -> tuple[int, list[Run]]:
    base = at = draw(st.integers(0, 1 << 50))
    found: list[Run] = []
    for open_, done in draw(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 1 << 20)), max_size=50)):
        found.append((at + open_, at + open_ + done - 1))
        at += open_ + done
    return base, found


@given(runs())
def test_what_was_written_is_read_again(made: tuple[int, list[Run]]) -> None:
    base, found = made
    assert decode(base, encode(base, found)) == found


def test_of_too_many_runs_the_furthest_are_left_out() -> None:
    found = [(offset, offset) for offset in range(1, 10_000, 2)]
    text = encode(0, found)
    kept = decode(0, text)
    assert len(text) <= ROOM
    assert 1000 < len(kept) < len(found)
    assert kept == found[: len(kept)]


def test_nothing_to_tell_is_no_text() -> None:
    assert encode(5, []) == ""
    assert decode(5, "") == []
    assert decode(5, None) == []


@pytest.mark.parametrize(
    "text",
    [
        "somebody else's note",
        MARK + "not base64!",
        MARK + base64.b64encode(b"\x01\x81").decode(),  # ends within a number
        MARK + base64.b64encode(b"\x01\x00").decode(),  # a run of nothing
        MARK + base64.b64encode(b"\xff" * 12 + b"\x01\x01").decode(),  # beyond all offsets
        MARK + "A" * 3 * ROOM,
    ],
)
def test_what_is_not_ours_is_not_believed(text: str) -> None:
    assert decode(5, text) == []


def test_without_a_committed_offset_there_is_nothing_behind_it() -> None:
    assert decode(-1001, encode(5, [(7, 9)])) == []


@given(st.text(max_size=50), st.binary(max_size=50))
def test_no_text_makes_it_fail(text: str, raw: bytes) -> None:
    decode(0, text)
    decode(0, MARK + base64.b64encode(raw).decode())
