"""Whatever clients do, a good one is answered and the server neither grows nor spins (fault P22, rules R14, R15)."""

from __future__ import annotations

import os
import random
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from supervisor import client
from support.control import BIG, connected, everything, push, serving, status
from support.eventually import eventually

GET = b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"
GROWTH = 8 * 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    where = str(tmp_path / "ctl.sock")
    with serving(where):
        yield where


def _post(target: str, body: bytes, length: int | None = None) -> bytes:
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n"
    return head.encode() + body


def _push(sock: socket.socket, size: int) -> int:
    """Send up to `size` bytes; return how many were taken before the other side had enough."""
    piece, sent = b"x" * 65536, 0
    try:
        while sent < size:
            sent += sock.send(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return sent


def test_a_half_request_is_ended_with_what_was_expected(path: str) -> None:
    with connected(path) as half:
        half.sendall(GET[:20])
        assert everything(half).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_never_says_anything_is_ended_too(path: str) -> None:
    with connected(path) as mute:
        assert b"expected a whole request within 2 s" in everything(mute)


@pytest.mark.parametrize("start", [b"", b"GET /v1/", _post("/v1/reload", b"", 300_000_000), b"GET / HTTP/1.1\r\nX: "])
def test_300_megabytes_are_refused_early_and_memory_stays_flat(path: str, start: bytes) -> None:
    before = status(path)["rss"]
    with connected(path) as flood:
        flood.sendall(start)
        assert _push(flood, 300_000_000) < 2_000_000
        assert everything(flood)[:12] in (b"HTTP/1.1 413", b"HTTP/1.1 400", b"HTTP/1.1 431")
    assert status(path)["rss"] - before < GROWTH


def test_a_request_of_exactly_the_limit_of_its_body_is_read(path: str) -> None:
    body = b'{"note": "' + b" " * 60_000 + b'"}'
    with connected(path) as sock:
        sock.sendall(_post("/v1/children/a/enable", body))
        assert b"expected a text of at most 500 characters" in everything(sock)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
        (b"\r\n\r\n\r\n\r\nGET\r\n\r\n", 400),
        (b"hello\n\n", 400),
        (b"GET /v1/status HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"POST /v1/stop HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", 411),
        (b"POST /v1/stop HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST /v1/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (_post("/v1/stop", b'{"now": 5}'), 400),
        (_post("/v1/none", b""), 404),
        (_post("/v1/status", b""), 405),
    ],
)
def test_what_is_no_request_is_refused_with_a_reason(path: str, sent: bytes, code: int) -> None:
    with connected(path) as sock:
        sock.sendall(sent)
        reply = everything(sock)
    assert reply[9:12] == b"%d" % code, reply
    assert b'"error": "' in reply
    assert status(path)["pid"]


def test_random_bytes_in_random_pieces_never_harm_it(path: str) -> None:
    rng = random.Random(7)
    before = status(path)
    for _ in range(200):
        data = bytearray(rng.choice((GET, _post("/v1/reload", b'{"dry_run": true}'), rng.randbytes(200))))
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with connected(path) as sock:
            cut = rng.randrange(len(data))
            push(sock, data[:cut])
            push(sock, data[cut:])
    after = status(path)
    assert after["pid"] == before["pid"]
    assert after["rss"] - before["rss"] < GROWTH


def test_500_clients_at_once_cost_eight_places_and_a_good_one_is_answered_among_them(path: str) -> None:
    before = status(path)
    with ExitStack() as stack:
        for number in range(500):
            idle = stack.enter_context(connected(path))
            if number % 3 == 0:
                idle.sendall(b"GET /v1/sta")
            if number % 100 == 99:
                assert status(path)["fds"] <= before["fds"] + 8
        assert status(path)["rss"] - before["rss"] < GROWTH
    eventually(lambda: status(path)["fds"] == before["fds"])


def test_a_client_that_leaves_in_the_middle_of_its_reply_is_forgotten(path: str) -> None:
    before = status(path)["fds"]
    for _ in range(20):
        with connected(path) as sock:
            sock.sendall(b"GET /v1/children/big HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(1000)
    eventually(lambda: status(path)["fds"] == before)


def test_eight_clients_that_do_not_read_a_large_reply_keep_no_new_one_out(path: str) -> None:
    with ExitStack() as stack:
        for _ in range(12):
            lazy = stack.enter_context(connected(path))
            lazy.sendall(b"GET /v1/children/big HTTP/1.1\r\nHost: x\r\n\r\n")
        code, body = client.request(path, "GET", "/v1/children/big", timeout=60.0)
        assert code == 200
        assert len(body["text"]) == BIG


def test_nine_that_wait_are_one_too_many_and_status_still_works(path: str) -> None:
    with ExitStack() as stack:
        waiting = [stack.enter_context(connected(path)) for _ in range(8)]
        for number, sock in enumerate(waiting, 1):
            sock.sendall(_post("/v1/children/a/run", b'{"wait": true}'))
            eventually(lambda: len(status(path)["gone"]) == number)  # noqa: B023 - called at once
        code, body = client.request(path, "POST", "/v1/reload", timeout=60.0)
        assert (code, body["error"]) == (503, "8 clients wait for a reply already")
        waiting[0].close()
        eventually(lambda: status(path)["gone"] == [True] + [False] * 7)
        _, body = client.request(path, "POST", "/v1/children/a/restart", timeout=60.0)
        assert body["sent"] == [False] + [True] * 7
        assert b'{"run": "ended"}' in everything(waiting[1])


def test_without_a_descriptor_a_client_hears_why_nothing_spins_and_it_recovers(tmp_path: Path) -> None:
    path = str(tmp_path / "ctl.sock")
    with serving(path, short_of_descriptors=True) as pid:
        code, body = client.request(path, "GET", "/v1/status", timeout=60.0)
        assert (code, body["error"]) == (503, "the supervisor has no file descriptor left")
        with ExitStack() as stack:
            for _ in range(5):  # wait in the backlog: the listener is not looked at for a second
                stack.enter_context(connected(path))
            code, _ = client.request(path, "GET", "/v1/status", timeout=60.0)
            assert code == 503
        os.kill(pid, signal.SIGUSR1)
        after = eventually(lambda: _status_or_nothing(path), within=60.0)
        assert after["cpu"] < 5.0
        assert any("no file descriptor left for control clients" in line for line in after["reports"])


def _status_or_nothing(path: str) -> dict[str, object] | None:
    code, body = client.request(path, "GET", "/v1/status", timeout=60.0)
    return body if code == 200 else None
