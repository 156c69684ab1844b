"""What a process killed at any moment leaves on the progress page, and what is read of it."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.kafka import page
from supervisor.core.kafka.claims import scope, topic_id
from supervisor.core.kafka.page import CELL, CELLS, HALF, HEADER, REGION, Cell, Header

CELL_ = Cell(b"scope..8", b"topic.........16", 3, 1, 100, 90)
BOOT = b"b" * 16


def empty(regions: int = 1) -> memoryview:
    return memoryview(bytearray(page.size(regions)))


def test_what_was_written_last_is_read() -> None:
    room = empty(2)
    cell = CELL_
    for position in range(100, 105):
        cell = page.write(room, 1, 7, replace(cell, position=position))
        found = page.read(room, 1, 7)
        assert found == cell
        assert found.position == position
    assert page.read(room, 0, 7) is None, "of another member"
    assert page.read(room, 1, 6) is None


@given(cut=st.integers(0, HALF), position=st.integers(0, 2**62))
def test_a_write_that_is_cut_off_leaves_what_was_there_before(cut: int, position: int) -> None:
    room = empty()
    before = page.write(room, 0, 0, page.write(room, 0, 0, CELL_))
    was = bytes(room)
    page.write(room, 0, 0, replace(before, position=position))
    at = HEADER + (before.sequence + 1) % 2 * (HALF)
    torn = bytearray(was)
    torn[at : at + cut] = room[at : at + cut]
    found = page.read(bytes(torn), 0, 0)
    assert found is not None
    assert found.position in (before.position, position)
    assert found == before or found.sequence == before.sequence + 1


def test_the_words_behind_a_cell_say_more_than_the_cell() -> None:
    room = empty()
    cell = page.write(room, 0, 0, CELL_)
    words, key = page.words(room, 0, 0), page.key(cell)
    for pair, position in ((2, 101), (0, 102), (2, 103)):
        words[pair], words[pair + 1] = position, position ^ key
        found = page.read(room, 0, 0)
        assert found is not None
        assert found.position == position
    page.write(room, 0, 0, replace(cell, base=95))
    assert page.read(room, 0, 0) == replace(cell, base=95, position=103, sequence=2)
    page.write(room, 0, 0, replace(cell, position=110, sequence=2))
    assert page.read(room, 0, 0) == replace(cell, position=110, sequence=3), "the cell may be further on"


def test_words_of_another_generation_or_partition_and_half_a_pair_do_not_count() -> None:
    for other in (replace(CELL_, generation=2), replace(CELL_, partition=4), replace(CELL_, topic=b"another.......16")):
        room = empty()
        cell = page.write(room, 0, 0, CELL_)
        words = page.words(room, 0, 0)
        words[0], words[1] = 500, 500 ^ page.key(other)
        words[2] = 600  # killed before the second word
        assert page.read(room, 0, 0) == cell


@given(st.binary(min_size=CELL, max_size=CELL))
def test_any_bytes_may_stand_there(raw: bytes) -> None:
    room = empty()
    room[HEADER : HEADER + CELL] = raw
    found = page.read(room, 0, 0)
    assert found is None or found.sequence


def test_cells_are_listed_up_to_the_first_that_was_never_written() -> None:
    room = empty()
    for index in (0, 1, 3):
        page.write(room, 0, index, replace(CELL_, partition=index))
    room[HEADER + CELL : HEADER + 2 * CELL] = b"\x01" * CELL
    listed = [(index, cell.partition if cell else None) for index, cell in page.cells(room, 0)]
    assert listed == [(0, 0), (1, None)]


def test_a_full_region_is_listed_whole() -> None:
    room = empty()
    for index in range(CELLS):
        page.write(room, 0, index, CELL_)
    assert len(list(page.cells(room, 0))) == CELLS


def test_the_header_tells_whose_page_it_is() -> None:
    raw = page.header(4, BOOT)
    assert page.read_header(raw) == Header(4, BOOT)
    assert page.size(4) == HEADER + 4 * REGION


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "too short"),
        (b"x" * 100, "not a progress page"),
        (page.header(4, BOOT)[:-1] + b"\xff", "damaged"),
        (page.header(4, BOOT).replace(struct.pack("<I", page.VERSION), struct.pack("<I", 9), 1), "of version 9"),
    ],
)
def test_what_is_no_page_of_ours_is_refused_with_the_reason(raw: bytes, why: str) -> None:
    found = page.read_header(raw)
    assert isinstance(found, str)
    assert found.startswith(why)


def test_a_page_with_another_number_of_cells_is_damaged() -> None:
    raw = bytearray(page.header(4, BOOT))
    raw[16:20] = struct.pack("<I", 7)
    raw[-4:] = struct.pack("<I", zlib.crc32(raw[:-4]))
    assert page.read_header(bytes(raw)) == "damaged"


def test_a_topic_that_is_made_anew_and_another_broker_have_other_names() -> None:
    assert len({scope("c/1", "g"), scope("c/2", "g"), scope("c/1", "h"), scope("c", "/1g")}) == 4
    assert len(scope("c", "g")) == 8
    assert topic_id("1:2") != topic_id("1:3")
    assert len(topic_id("1:2")) == 16
