"""Whatever bytes come from a child or a client: declared answers only, the same in any pieces, in bounded memory."""

from __future__ import annotations

import json
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.shapes import FUZZ, MIB, damaged, hostile, pieces, texts, values, within
from supervisor.core.wire import page
from supervisor.core.wire.control import Refusal, describe, parse
from supervisor.core.wire.frames import MAX_FRAME, Decoder, encode
from supervisor.core.wire.messages import (
    MAX_PARTS,
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
from supervisor.core.wire.stacks import Parts, split
from supervisor.parent.clients import MAX_REQUEST, Client, Gone, Request

KINDS = ["hello", "ready", "beat", "facts", "run", "notice", "bye", "stacks"]
KEYS = ["generation", "rss", "cpu", "dropped", "facts", "result", "level", "code", "text", "reason", "id", "part", "of"]

frames = st.dictionaries(st.sampled_from([*KEYS, "t", "o"]) | texts, values, max_size=6)
told = st.builds(lambda kind, frame: {**frame, "t": kind}, st.sampled_from(KINDS) | values, frames)
cuts = st.lists(st.integers(0, 6000), max_size=12)


def frame(body: object) -> bytes:
    """As a child could write it that does not keep to our encoder: NaN, surrogates, any length."""
    payload = json.dumps(body).encode()[: MAX_FRAME - 4]
    return struct.pack("!I", len(payload)) + payload


streams = st.lists(
    st.builds(frame, told) | damaged(st.builds(frame, told)) | hostile | st.binary(max_size=50), max_size=6
)


@FUZZ
@given(streams.map(b"".join), cuts)
def test_any_stream_gives_the_same_messages_in_any_pieces_and_holds_one_frame_at_most(
    data: bytes, at: list[int]
) -> None:
    whole, cut = Decoder(), Decoder()
    expected = whole.feed(data)
    found = []
    for piece in pieces(data, at):
        found += cut.feed(piece)
        assert len(cut._rest) < MAX_FRAME
    assert json.dumps(found) == json.dumps(expected)  # as text: NaN is not equal to itself
    assert (cut.bad, cut.broken) == (whole.bad, whole.broken)
    assert all(isinstance(each, dict) for each in found)


@FUZZ
@given(told)
def test_any_object_is_a_message_of_a_known_shape_or_none(body: dict[str, object]) -> None:
    message = from_frame(body)
    match message:
        case None | Ready():
            pass
        case Hello(generation):
            assert type(generation) is int
        case Beat(rss, cpu, dropped):
            assert (type(rss), type(cpu), type(dropped)) == (int, float, int)
        case Facts(known) | Run(known):
            assert isinstance(known, dict)
        case Notice(level, code, text):
            assert level in ("info", "warning", "error")
            assert len(code) <= 64
            assert len(text) <= 1500
        case Bye(code, reason):
            assert type(code) is int
            assert len(reason) <= 1500
        case Stacks(_, part, of, text):
            assert 0 <= part < of <= MAX_PARTS
            assert len(text) <= 3000


messages = (
    st.builds(Hello, st.integers(0, 2**31))
    | st.just(Ready())
    | st.builds(Beat, st.integers(0, 2**50), st.floats(0, 1e9), st.integers(0, 2**31))
    | st.builds(Notice, st.sampled_from(["info", "warning", "error"]), st.text(max_size=30), texts)
    | st.builds(Bye, st.integers(0, 255), texts)
)


@FUZZ
@given(messages)
def test_what_a_child_says_is_what_the_parent_hears(message: Message) -> None:
    (body,) = Decoder().feed(encode(to_frame(message)))
    heard = from_frame(body)
    if isinstance(message, Notice | Bye):  # long texts are cut, to fit a frame
        assert type(heard) is type(message)
    else:
        assert heard == message


@FUZZ
@given(texts, st.dictionaries(st.text(min_size=1, max_size=10).filter(lambda key: key != "o"), values, max_size=3))
def test_an_order_comes_as_it_was_given_or_is_no_object(verb: str, args: dict[str, object]) -> None:
    assert order_from_frame(order_to_frame(Order(verb, args))) == Order(verb, args)


@FUZZ
@given(st.lists(st.builds(Stacks, st.just("1"), st.integers(0, 30), st.integers(0, 30), texts), max_size=40))
def test_parts_in_any_order_give_no_more_than_what_came(given_parts: list[Stacks]) -> None:
    parts = Parts()
    for each in given_parts:
        if 0 <= each.part < each.of <= MAX_PARTS:  # the others are no messages
            text = parts.add(each)
            assert text is None or len(text) <= MAX_PARTS * 5000


@FUZZ
@given(st.text(max_size=3000))
def test_stacks_come_together_again(text: str) -> None:
    parts = Parts()
    assert [parts.add(part) for part in split("1", text)][-1] == text


@FUZZ
@given(damaged(st.just(bytes(page.SIZE))) | st.binary(min_size=page.SIZE, max_size=page.SIZE + 20))
def test_any_page_is_read_without_an_error(data: bytes) -> None:
    data = data[: page.SIZE].ljust(page.SIZE, b"\xff")
    doing = page.read(data)
    assert doing is None or len(doing.subject) <= page.SUBJECT_BYTES
    assert len(page.read_member(data)) <= page.MEMBER_BYTES
    assert page.count(data) >= 0


# --- the control socket ---------------------------------------------------------------------------------------------

paths = st.sampled_from(
    [
        "/v1/status",
        "/v1/children/a",
        "/v1/children/a:1/restart",
        "/v1/children/a/disable",
        "/v1/reload",
        "/v1/stop",
        "*",
    ]
) | st.text(max_size=20)
methods = st.sampled_from(["GET", "POST", "PUT", "", "get"]) | st.text(max_size=6)
bodies = st.builds(lambda value: json.dumps(value).encode(), values) | hostile | st.binary(max_size=60)
lines = st.sampled_from(
    [
        b"Host: x",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue",
        b"Content-Length: 1",
        b"Content-Length: 99999999",
    ]
) | st.binary(max_size=30)


def request(method: str, path: str, headers: list[bytes], body: bytes, length: bool) -> bytes:
    head = [f"{method} {path} HTTP/1.1".encode(errors="replace"), b"Host: y", *headers]
    head += [b"Content-Length: %d" % len(body)] if length else []
    return b"\r\n".join(head) + b"\r\n\r\n" + body


requests = damaged(st.builds(request, methods, paths, st.lists(lines, max_size=2), bodies, st.booleans()))


def asked(parts: list[bytes]) -> tuple[object, ...]:
    """What becomes of a client that sends these, and then ends."""
    near, far = socket.socketpair()
    far.setblocking(False)
    near.setblocking(False)
    client = Client(near, now=0.0, until=1.0)
    try:
        for part in [*parts, b""]:
            far.send(part) if part else far.shutdown(socket.SHUT_WR)
            match client.read(0.0):
                case Request(method, target, body):
                    return "request", method, target, body
                case Refusal() as refusal:
                    return "refused", refusal.status
        return ("nothing",)
    except Gone:
        return ("gone",)
    finally:
        client.close()
        far.close()


@FUZZ
@given(requests.map(lambda data: data[:12_000]), cuts)
def test_any_request_has_the_same_outcome_in_any_pieces(data: bytes, at: list[int]) -> None:
    outcome = asked([data])
    assert asked(pieces(data, at)) == outcome
    match outcome:
        case "request", str(method), str(target), bytes(body):
            command = parse(method, target, body)
            if isinstance(command, Refusal):
                assert 400 <= command.status < 600
                assert json.dumps(command.body()).isprintable()
            else:
                assert len(describe(command)) < 2000
        case "refused", int(status):
            assert 400 <= status < 600


# --- bounds ---------------------------------------------------------------------------------------------------------

FLOODS = {
    "small frames": (struct.pack("!I", 2) + b"{}") * 10_000,
    "deep": struct.pack("!I", 4000) + b"[" * 4000,
    "deep objects": struct.pack("!I", 4090) + b'{"a":' * 818,
    "digits": struct.pack("!I", 4000) + b"9" * 4000,
    "a length that cannot be": b"\xff" * 65_536,
}


@pytest.mark.parametrize("flood", FLOODS, ids=lambda name: name.replace(" ", "_"))
def test_a_flood_from_a_child_costs_a_bounded_piece_of_memory(flood: str) -> None:
    decoder = Decoder()
    with within(8 * MIB):
        for _ in range(5):
            for piece in pieces(FLOODS[flood], range(0, 65_536, 16_384)):
                decoder.feed(piece)
    assert len(decoder._rest) < MAX_FRAME


@pytest.mark.parametrize("head", [b"", b"POST /v1/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n"])
def test_a_flood_from_a_client_costs_a_bounded_piece_of_memory(head: bytes) -> None:
    with within(1 * MIB):
        outcome = asked([part for part in [head, *[b"x" * 16_000] * 20] if part])
    assert outcome[0] in ("refused", "request")
    assert len(bytes(outcome[-1])) <= MAX_REQUEST if outcome[0] == "request" else True
