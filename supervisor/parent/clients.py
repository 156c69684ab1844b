"""RUNS IN THE PARENT: one client of the control socket: one request, one reply, then closed. Nothing here blocks.

h11 parses; this module keeps the sizes: headers of 32 KiB and a body of 64 KiB at most, and a reply in pieces of
64 KiB, each made when the one before is out. A client that does not read costs one piece, not a copy of the reply.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import h11

from supervisor.core.wire.control import Refusal

MAX_REQUEST = 64 * 1024  # bytes of the body; of the headers h11 takes 16 KiB, and what one read brings
MAX_PLAIN = 256 * 1024  # a reply above it goes in chunks
PIECE = 64 * 1024
_READ = 16 * 1024  # h11 checks the size of headers between reads only
_PIECES_A_TURN = 4
_PEER = struct.Struct("iII")  # struct ucred: pid, uid, gid

Phase = Literal["reading", "waiting", "writing"]


class Gone(Exception):
    """The client left, or must leave without a word."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who asks, as the kernel tells it (SO_PEERCRED): not what the client says."""

    uid: int
    pid: int


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    body: bytes


class Client:
    __slots__ = (
        "_body",
        "_buffer",
        "_head",
        "_http",
        "_pieces",
        "heard",
        "mask",
        "peer",
        "phase",
        "sock",
        "until",
    )

    def __init__(self, sock: socket.socket, *, now: float, until: float) -> None:
        self.sock = sock
        self.peer = _peer(sock)
        self.phase: Phase = "reading"
        self.heard = now  # monotonic: its latest sign of life
        self.until = until  # monotonic: the whole request must be here, or the next bytes of the reply be taken
        self.mask: int | None = None  # what the poller was told
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_READ)
        self._head: tuple[str, str] | None = None
        self._body = bytearray()
        self._pieces: Iterator[bytes] = iter(())
        self._buffer = memoryview(b"")

    @property
    def closed(self) -> bool:
        return self.sock.fileno() < 0

    def close(self) -> None:
        """With shutdown: a process forked meanwhile may hold a copy, and the client waits for the end."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it left first
        self.sock.close()

    def read(self, now: float) -> Request | Refusal | None:
        """Return the request when it is whole, a refusal when it cannot become one. Raises Gone."""
        try:
            data = self.sock.recv(_READ)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            raise Gone from error
        self.heard = now
        try:
            self._http.receive_data(data)
            return self._parse()
        except h11.RemoteProtocolError as error:
            return Refusal(error.error_status_hint, f"expected an HTTP/1.1 request: {error}")

    def reply(self, status: int, body: Mapping[str, Any]) -> None:
        """Begin to write; `write` goes on. The body becomes bytes here, later changes of it do not matter."""
        payload = _json(body)
        self._pieces = self._render(status, payload)
        self.phase = "writing"

    def write(self, now: float) -> bool:
        """Send what the client takes. True: all of it is out. Raises Gone."""
        for _ in range(_PIECES_A_TURN):
            if not self._buffer:
                piece = next(self._pieces, None)
                if piece is None:
                    return True
                self._buffer = memoryview(piece)
            try:
                taken = self.sock.send(self._buffer, socket.MSG_NOSIGNAL)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                raise Gone from error
            self.heard = now
            self._buffer = self._buffer[taken:]
        return False

    def _parse(self) -> Request | Refusal | None:
        while (event := self._http.next_event()) is not h11.NEED_DATA:
            match event:
                case h11.Request():
                    self._head = (event.method.decode(), event.target.decode())
                    if refusal := _refuse_headers(event):
                        return refusal
                case h11.Data():
                    self._body += event.data
                case h11.EndOfMessage():
                    assert self._head is not None
                    return Request(*self._head, bytes(self._body))
                case _:  # closed before a request
                    raise Gone
        if self._http.they_are_waiting_for_100_continue:
            self._go_on()
        return None

    def _go_on(self) -> None:
        """curl asks before it sends a longer body."""
        text = self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b""
        try:
            self.sock.send(text, socket.MSG_NOSIGNAL)
        except OSError as error:  # 25 bytes that do not fit are a client that does not read
            raise Gone from error

    def _render(self, status: int, payload: bytes) -> Iterator[bytes]:
        chunked = len(payload) > MAX_PLAIN
        length = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(payload)))
        headers = [("Content-Type", "application/json"), ("Connection", "close"), length]
        yield self._send(h11.Response(status_code=status, headers=headers))
        view = memoryview(payload)
        for start in range(0, len(view), PIECE):
            yield self._send(h11.Data(data=bytes(view[start : start + PIECE])))
        if ending := self._send(h11.EndOfMessage()):
            yield ending

    def _send(self, event: h11.Event) -> bytes:
        return self._http.send(event) or b""


def _refuse_headers(request: h11.Request) -> Refusal | None:
    """By what the headers say alone, before a byte of the body: no chunks, as one-byte chunks would cost 0.2 s."""
    headers = dict(request.headers)
    if b"transfer-encoding" in headers:
        return Refusal(411, "expected a body with Content-Length, got Transfer-Encoding")
    length = headers.get(b"content-length", b"0")
    return _too_large() if len(length) > 9 or int(length) > MAX_REQUEST else None


def _too_large() -> Refusal:
    return Refusal(413, f"expected a request of at most {MAX_REQUEST // 1024} KiB, got a larger one")


def _peer(sock: socket.socket) -> Peer:
    pid, uid, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return Peer(uid=uid, pid=pid)


def _json(body: Mapping[str, Any]) -> bytes:
    """ASCII, one line. NaN is no JSON; a child may have reported one: it becomes null."""
    try:
        text = json.dumps(body, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(body), allow_nan=False)
    return text.encode() + b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value
