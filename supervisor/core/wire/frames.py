"""Bounded frames on the two pipes of a process: four bytes of length, then one JSON object.

A frame fits PIPE_BUF, so a non-blocking write is all or nothing (pipe(7)) and two threads never mix theirs.
The reader trusts nothing: whatever bytes arrive, it returns objects, counts what was bad, and holds at most
one frame. JSON, never pickle: a frame cannot run code in the process that reads it.
"""

from __future__ import annotations

import json
import struct
from typing import Any

MAX_FRAME = 4096  # PIPE_BUF on Linux, the four bytes of length included
_LENGTH = struct.Struct("!I")
_SCAN = json.JSONDecoder().decode
_DUMPS = json.JSONEncoder(separators=(",", ":")).encode  # made once: json.dumps makes one for every call


class FrameTooLarge(ValueError):
    """The sender's own mistake: shorten the text, never split the frame."""


def encode(body: dict[str, Any]) -> bytes:
    """Return one frame. Raises FrameTooLarge over 4,096 bytes."""
    payload = _DUMPS(body).encode()
    if len(payload) > MAX_FRAME - _LENGTH.size:
        raise FrameTooLarge(f"a frame holds {MAX_FRAME - _LENGTH.size} bytes, this one has {len(payload)}")
    return _LENGTH.pack(len(payload)) + payload


class Decoder:
    """Bytes in any pieces to objects; `bad` counts what was not a frame.

    After a length that cannot be there is no telling where the next frame begins:
    `broken` is set, the rest is dropped, and the peer has to be replaced.
    """

    __slots__ = ("_rest", "bad", "broken")

    def __init__(self) -> None:
        self._rest = b""  # less than a frame, nearly always nothing
        self.bad = 0
        self.broken = False

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        data = self._rest + data if self._rest else data
        found: list[dict[str, Any]] = []
        start = 0
        while not self.broken and len(data) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data, start)
            if length > MAX_FRAME - _LENGTH.size:
                self.bad += 1
                self.broken = True
                break
            end = start + _LENGTH.size + length
            if len(data) < end:
                break
            self._append(found, data[start + _LENGTH.size : end])
            start = end
        self._rest = b"" if self.broken else data[start:]
        return found

    def _append(self, found: list[dict[str, Any]], payload: bytes) -> None:
        try:
            body = _SCAN(payload.decode())
        except (ValueError, RecursionError):  # not UTF-8, not JSON, a 5,000-digit integer, nested too deep
            self.bad += 1
            return
        if isinstance(body, dict):
            found.append(body)
        else:
            self.bad += 1
