"""Stacks of any length and any characters go through frames in parts, and come out as they were or cut, never wrong."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.wire.frames import encode
from supervisor.core.wire.messages import MAX_PARTS, Stacks, from_frame, to_frame
from supervisor.core.wire.stacks import CUT, Parts, split


def _through(parts: list[Stacks]) -> str | None:
    together, found = Parts(), None
    for part in parts:
        encode(to_frame(part))  # raises when it does not fit
        message = from_frame(json.loads(json.dumps(to_frame(part))))
        assert isinstance(message, Stacks)
        assert found is None, "complete before the last part"
        found = together.add(message)
    return found


@given(st.text(max_size=9000), st.randoms())
def test_the_parts_in_any_order_make_the_text_again(text: str, shuffled: random.Random) -> None:
    parts = split("1", text)
    shuffled.shuffle(parts)
    assert _through(parts) == text


@pytest.mark.parametrize("text", ["", "x", "\x00" * 9000, "\U0001f600" * 5000], ids=["none", "one", "C0", "wide"])
def test_the_worst_characters_fit(text: str) -> None:
    assert _through(split("1", text)) == text


def test_what_is_too_long_is_cut_and_says_so() -> None:
    parts = split("1", "a" * 10_000_000)
    assert len(parts) == MAX_PARTS
    found = _through(parts)
    assert found is not None
    assert found.endswith(CUT)
    assert len(found) < 80_000


def test_a_missing_part_is_waited_for_and_one_that_comes_twice_changes_nothing() -> None:
    together = Parts()
    assert together.add(Stacks("1", 0, 2, "a")) is None
    assert together.add(Stacks("1", 0, 2, "a")) is None
    assert together.add(Stacks("1", 1, 2, "b")) == "ab"


def test_a_child_that_contradicts_itself_begins_anew() -> None:
    together = Parts()
    assert together.add(Stacks("1", 0, 3, "a")) is None
    assert together.add(Stacks("1", 0, 1, "whole")) == "whole"


@pytest.mark.parametrize(("part", "of"), [(-1, 2), (2, 2), (0, MAX_PARTS + 1), (0, 0)])
def test_a_part_with_an_impossible_number_is_no_message(part: int, of: int) -> None:
    assert from_frame({"t": "stacks", "id": "1", "part": part, "of": of, "text": ""}) is None
