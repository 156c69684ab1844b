"""A child can say only what has a known shape; the rest is None, never an exception."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.wire.frames import MAX_FRAME, encode
from supervisor.core.wire.messages import (
    TEXT,
    Beat,
    Bye,
    Facts,
    Hello,
    Message,
    Notice,
    Order,
    Ready,
    Run,
    Stacks,
    from_frame,
    order_from_frame,
    order_to_frame,
    to_frame,
)

MESSAGES: list[Message] = [
    Hello(3),
    Ready(),
    Beat(rss=1 << 30, cpu=2.5, dropped=1),
    Facts({"lag": 5, "waiting": None}),
    Run({"state": "ok", "slot": 1.5}),
    Notice("warning", "dead_letter", "one record"),
    Bye(78, "no module named x"),
    Stacks("7", 0, 2, "thread MainThread:\n"),
]
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_kinds = st.sampled_from(["hello", "ready", "beat", "facts", "run", "notice", "bye", "stacks", "x"]) | _json
_fields = ["t", "generation", "rss", "cpu", "dropped", "facts", "result", "level", "code", "text", "reason"]
_fields += ["id", "part", "of"]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert from_frame(json.loads(json.dumps(to_frame(message)))) == message


@given(st.fixed_dictionaries({"t": _kinds}, optional=dict.fromkeys(_fields[1:], _json)))
def test_no_frame_raises_whatever_its_fields_hold(frame: dict[str, object]) -> None:
    message = from_frame(frame)
    assert message is None or isinstance(message, Message)


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"t": "unknown"},
        {"t": ["hello"]},
        {"t": "hello"},
        {"t": "hello", "generation": "x"},
        {"t": "hello", "generation": float("inf")},
        {"t": "beat", "rss": None, "cpu": 1, "dropped": 0},
        {"t": "facts", "facts": [1]},
        {"t": "run", "result": "ok"},
        {"t": "bye", "code": {}, "reason": ""},
    ],
)
def test_a_frame_of_another_shape_is_nothing(frame: dict[str, object]) -> None:
    assert from_frame(frame) is None


@pytest.mark.parametrize("character", ["x", "\x00", "ж", "\U0001f4a9", "\ud800"])
def test_free_text_is_cut_so_that_the_frame_fits_whatever_it_is_made_of(character: str) -> None:
    for message in (Notice("info", "dead_letter", character * 10_000), Bye(1, character * 10_000)):
        frame = to_frame(message)
        assert len(encode(frame)) <= MAX_FRAME
        assert 150 <= len(frame.get("text") or frame["reason"]) <= TEXT


def test_free_text_that_a_child_did_not_cut_is_cut_on_arrival() -> None:
    told = from_frame({"t": "bye", "code": 1, "reason": "x" * 10_000})
    assert isinstance(told, Bye)
    assert len(told.reason) == TEXT


def test_what_is_no_message_is_the_senders_error() -> None:
    with pytest.raises(AssertionError):
        to_frame("hello")  # type: ignore[arg-type]


def test_an_unknown_level_is_info() -> None:
    assert from_frame({"t": "notice", "level": "loud", "code": "c", "text": "t"}) == Notice("info", "c", "t")


def test_an_order_comes_back_as_it_was() -> None:
    order = Order("run", {"id": "a1", "kind": "manual", "slot": 60.0})
    assert order_from_frame(order_to_frame(order)) == order
    assert order_from_frame({}) == Order("", {})
