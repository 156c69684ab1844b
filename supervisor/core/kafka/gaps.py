"""Which records behind the committed offset are done already, as text that stands beside the offset in Kafka.

Who takes the partition over reads it and does not do them again. Runs of done offsets are pairs of variable-length
numbers (how many are open, how many are done), in base64; a broker keeps 4096 bytes, so the text ends before that.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence

Run = tuple[int, int]  # first and last offset

MARK = "fw1:"
ROOM = 3000  # characters, of the 4096 bytes that a broker keeps unless told otherwise (offset.metadata.max.bytes)
_MOST = 1 << 62


def encode(base: int, done: Sequence[Run], room: int = ROOM) -> str:
    """Return the text for the committed offset `base`; of too many runs the furthest are left out. None: ""."""
    raw = bytearray()
    at = base
    for first, last in done:
        pair = _number(first - at) + _number(last - first + 1)
        if len(raw) + len(pair) > (room - len(MARK)) // 4 * 3:
            break
        raw += pair
        at = last + 1
    return MARK + base64.b64encode(raw).decode() if raw else ""


def decode(base: int, text: str | None) -> list[Run]:
    """Return the runs; none when the text is not ours. It never raises: anybody can commit any text."""
    if not text or not text.startswith(MARK) or len(text) > 2 * ROOM or base < 0:
        return []
    try:
        numbers = list(_numbers(base64.b64decode(text[len(MARK) :], validate=True)))
    except (binascii.Error, ValueError):
        return []
    found: list[Run] = []
    at = base
    for open_, done in zip(numbers[::2], numbers[1::2], strict=False):
        if not done or at + open_ + done > _MOST:
            return []
        found.append((at + open_, at + open_ + done - 1))
        at += open_ + done
    return found


def _number(value: int) -> bytes:
    """Seven bits a byte, the lowest first, the eighth says that more follow."""
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    made.append(value)
    return bytes(made)


def _numbers(raw: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in raw:
        value |= (byte & 127) << shift
        if byte & 128:
            shift += 7
            continue
        yield value
        value = shift = 0
    if shift:
        raise ValueError("cut off")
