"""The progress page: how far the records of each partition are handled, in memory that outlives the process.

One file for a consumer: a header, and for each member a region of cells that this member alone writes. A cell is two
copies, written in turn, each with a sequence number and a checksum: a process killed in the middle of a write leaves
the other copy, and who reads while another writes takes that one too.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

VERSION = 1
HEADER = 4096  # bytes before the first region
CELLS = 1024  # partitions that one member remembers
CELL = 128
REGION = CELLS * CELL
NEVER = -1  # the committed offset of a partition where nothing was committed

_MAGIC = b"fw-page\0"
_HEADER = struct.Struct("<8sIII16sI")  # magic, version, regions, cells, boot, checksum
_SUM = struct.Struct("<I")  # checksum, of what follows
_BODY = struct.Struct("<iQQqq8s16s")  # partition, sequence, generation, position, base, scope, topic
_HALF = CELL // 2
_EMPTY = bytes(CELL)


@dataclass(frozen=True, slots=True)
class Cell:
    """`position`: every record of the partition before it is handled, or was committed when its member began.

    `base`: the committed offset as the member last knew it. `generation` grows when somebody sets the offsets back.
    """

    scope: bytes  # 8: the cluster, the broker's incarnation, the group
    topic: bytes  # 16: its id; one that is made anew has another
    partition: int
    generation: int
    position: int
    base: int
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    regions: int
    boot: bytes


def size(regions: int) -> int:
    return HEADER + regions * REGION


def header(regions: int, boot: bytes) -> bytes:
    """`boot`, 16 bytes: until the machine's next start what is written here is there for all its processes."""
    raw = _HEADER.pack(_MAGIC, VERSION, regions, CELLS, boot, 0)[:-4]
    return raw + _SUM.pack(zlib.crc32(raw))


def read_header(raw: bytes) -> Header | str:
    """Return what stands there, or why it is no page of ours."""
    if len(raw) < _HEADER.size:
        return "too short"
    magic, version, regions, cells, boot, checksum = _HEADER.unpack_from(raw)
    if magic != _MAGIC:
        return "not a progress page"
    if version != VERSION:
        return f"of version {version}, expected {VERSION}"
    if checksum != zlib.crc32(raw[: _HEADER.size - 4]) or cells != CELLS:
        return "damaged"
    return Header(regions, boot)


def read(page: memoryview | bytes, region: int, index: int) -> Cell | None:
    """Return the newer copy that is whole; None when there is none."""
    at = HEADER + region * REGION + index * CELL
    found = [_copy(page, at), _copy(page, at + _HALF)]
    return max((cell for cell in found if cell is not None), key=lambda cell: cell.sequence, default=None)


def write(page: memoryview, region: int, index: int, cell: Cell) -> Cell:
    """Write over the older copy; return the cell as the next write needs it."""
    put(page, region, index, cell, cell.sequence + 1, cell.position)
    return replace(cell, sequence=cell.sequence + 1)


def put(page: memoryview, region: int, index: int, cell: Cell, sequence: int, position: int) -> None:
    """As `write`, with a newer sequence and position: once for each record, so it does no more than it must."""
    body = _BODY.pack(cell.partition, sequence, cell.generation, position, cell.base, cell.scope, cell.topic)
    at = HEADER + region * REGION + index * CELL + sequence % 2 * _HALF
    page[at : at + _HALF] = _SUM.pack(zlib.crc32(body)) + body


def cells(page: memoryview | bytes, region: int) -> Iterator[tuple[int, Cell | None]]:
    """Yield index and content of those that were ever written: they are taken in order, up to the first empty one."""
    for index in range(CELLS):
        at = HEADER + region * REGION + index * CELL
        if page[at : at + CELL] == _EMPTY:
            return
        yield index, read(page, region, index)


def _copy(page: memoryview | bytes, at: int) -> Cell | None:
    raw = bytes(page[at : at + _HALF])
    partition, sequence, generation, position, base, scope, topic = _BODY.unpack_from(raw, _SUM.size)
    if not sequence or _SUM.unpack_from(raw)[0] != zlib.crc32(raw[_SUM.size :]):
        return None
    return Cell(scope, topic, partition, generation, position, base, sequence)
