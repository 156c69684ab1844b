"""Whatever bytes arrive: the same frames for any split, only declared errors, never more than one frame held."""

from __future__ import annotations

import itertools
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.wire.frames import MAX_FRAME, Decoder, FrameTooLarge, encode

_leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=20)
_objects = st.dictionaries(st.text(max_size=10), _leaves | st.lists(_leaves, max_size=4), max_size=5)


def _frame(payload: bytes) -> bytes:
    return struct.pack("!I", len(payload)) + payload


def _split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(_objects, max_size=8), st.lists(st.integers(0, 10_000), max_size=30))
def test_any_split_of_the_bytes_gives_the_same_objects(objects: list[dict[str, object]], cuts: list[int]) -> None:
    decoder = Decoder()
    pieces = _split(b"".join(map(encode, objects)), cuts)
    assert [found for piece in pieces for found in decoder.feed(piece)] == objects
    assert (decoder.bad, decoder.broken) == (0, False)


@given(st.binary(max_size=3000), st.lists(st.integers(0, 10_000), max_size=10))
def test_garbage_gives_the_same_result_in_any_split_and_raises_nothing(data: bytes, cuts: list[int]) -> None:
    whole, split = Decoder(), Decoder()
    expected = whole.feed(data)
    assert [found for piece in _split(data, cuts) for found in split.feed(piece)] == expected
    assert (split.bad, split.broken) == (whole.bad, whole.broken)


@given(st.lists(st.binary(max_size=MAX_FRAME), max_size=20))
def test_no_more_than_one_frame_is_held_between_feeds(pieces: list[bytes]) -> None:
    decoder = Decoder()
    for piece in pieces:
        decoder.feed(piece)
        assert len(decoder._rest) < MAX_FRAME


def test_a_frame_fits_pipe_buf_and_a_larger_one_is_the_senders_error() -> None:
    most = MAX_FRAME - 4 - len('{"a":""}')
    assert len(encode({"a": "x" * most})) == MAX_FRAME
    with pytest.raises(FrameTooLarge, match="4092 bytes, this one has 4093"):
        encode({"a": "x" * (most + 1)})


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff\xfe", b"not json", b"[1]", b'"text"', b"1", b"9" * 4000, b"[" * 4000, b'{"a":' * 600],
    ids=["empty", "not UTF-8", "no JSON", "list", "text", "number", "long number", "deep list", "deep object"],
)
def test_a_frame_that_is_no_object_is_counted_and_the_next_one_read(payload: bytes) -> None:
    decoder = Decoder()
    assert decoder.feed(_frame(payload) + encode({"t": "ready"})) == [{"t": "ready"}]
    assert (decoder.bad, decoder.broken) == (1, False)


@pytest.mark.parametrize("length", [MAX_FRAME - 3, 2**31, 2**32 - 1])
def test_after_an_impossible_length_nothing_more_is_read_nor_kept(length: int) -> None:
    decoder = Decoder()
    found = decoder.feed(encode({"first": 1}) + struct.pack("!I", length) + b"x" * 100)
    assert found == [{"first": 1}]
    assert (decoder.bad, decoder.broken) == (1, True)
    assert decoder.feed(encode({"later": 1})) == []
    assert len(decoder._rest) == 0


def test_a_frame_is_json_and_cannot_be_anything_that_runs() -> None:
    assert json.loads(encode({"t": "beat"})[4:]) == {"t": "beat"}
