"""The progress page: how far the records of each partition are handled, in memory that outlives the process.

One file for a consumer: a header, and for each member a region of cells that this member alone writes. A cell is two
copies, written in turn, each with a sequence number and a checksum: a process killed in the middle of a write leaves
the other copy, and who reads while another writes takes that one too.

Behind them stands the position once more, in two pairs of words, also written in turn: that is what changes with each
record, and storing two words takes a tenth of a microsecond. The second word of a pair proves that the first one is
whole, and of this very partition and generation.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

VERSION = 2
HEADER = 4096  # bytes before the first region
CELLS = 1024  # partitions that one member remembers
CELL = 192
REGION = CELLS * CELL
NEVER = -1  # the committed offset of a partition where nothing was committed

_MAGIC = b"fw-page\0"
_HEADER = struct.Struct("<8sIII16sI")  # magic, version, regions, cells, boot, checksum
_SUM = struct.Struct("<I")  # checksum, of what follows
_BODY = struct.Struct("<iQQqq8s16s")  # partition, sequence, generation, position, base, scope, topic
HALF = 64  # bytes of one copy
_WORDS_AT = 2 * HALF
_WORDS = struct.Struct("<qqqq")  # position, proof, and again
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
    copies = [cell for cell in (_copy(page, at), _copy(page, at + HALF)) if cell is not None]
    if not copies:
        return None
    found = max(copies, key=lambda cell: cell.sequence)
    first, proof, second, again = _WORDS.unpack_from(page, at + _WORDS_AT)
    secret = key(found)
    proven = [position for position, word in ((first, proof), (second, again)) if position ^ secret == word]
    return replace(found, position=max(found.position, *proven)) if proven else found


def key(cell: Cell) -> int:
    """Return what binds a pair of words to its partition and generation."""
    raw = cell.scope + cell.topic + struct.pack("<iQ", cell.partition, cell.generation)
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little", signed=True)


def words(page: memoryview, region: int, index: int) -> memoryview:
    """Return the four words behind a cell: position, position ^ key, and the same again. Positions only grow."""
    at = HEADER + region * REGION + index * CELL + _WORDS_AT
    return page[at : at + _WORDS.size].cast("q")


def write(page: memoryview, region: int, index: int, cell: Cell) -> Cell:
    """Write over the older copy; return the cell as the next write needs it."""
    put(page, region, index, cell, cell.sequence + 1, cell.position)
    return replace(cell, sequence=cell.sequence + 1)


def put(page: memoryview, region: int, index: int, cell: Cell, sequence: int, position: int) -> None:
    """As `write`, with a newer sequence and position."""
    body = _BODY.pack(cell.partition, sequence, cell.generation, position, cell.base, cell.scope, cell.topic)
    at = HEADER + region * REGION + index * CELL + sequence % 2 * HALF
    page[at : at + HALF] = _SUM.pack(zlib.crc32(body)) + body


def cells(page: memoryview | bytes, region: int) -> Iterator[tuple[int, Cell | None]]:
    """Yield index and content of those that were ever written: they are taken in order, up to the first empty one."""
    for index in range(CELLS):
        at = HEADER + region * REGION + index * CELL
        if page[at : at + CELL] == _EMPTY:
            return
        yield index, read(page, region, index)


def _copy(page: memoryview | bytes, at: int) -> Cell | None:
    raw = bytes(page[at : at + HALF])
    partition, sequence, generation, position, base, scope, topic = _BODY.unpack_from(raw, _SUM.size)
    if not sequence or _SUM.unpack_from(raw)[0] != zlib.crc32(raw[_SUM.size :]):
        return None
    return Cell(scope, topic, partition, generation, position, base, sequence)
