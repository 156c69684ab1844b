"""The black box page: what was written is read, half a write is not, garbage raises nothing."""

from __future__ import annotations

import math
import struct

from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.wire import page
from supervisor.core.wire.page import Doing


def _page() -> memoryview:
    return memoryview(bytearray(page.SIZE))


def test_an_unwritten_page_says_nothing() -> None:
    assert page.read(_page()) is None
    assert page.read_member(_page()) == ""


def test_what_was_written_is_read() -> None:
    view = _page()
    page.write(view, 1, b"handling", 12.5, 300.0, b"orders", 3, 12345)
    assert page.read(view) == Doing(1, "handling", 12.5, 300.0, "orders", 3, 12345)


def test_the_count_tells_cheaply_whether_there_is_anything_new() -> None:
    view = _page()
    assert page.count(view) == 0
    page.write(view, 8, b"idle", 1.0)
    assert page.count(view) == 8


def test_no_budget_is_no_end() -> None:
    view = _page()
    page.write(view, 7, b"idle", 1.0)
    assert page.read(view) == Doing(7, "idle", 1.0, None)
    page.write(view, 8, b"idle", 1.0, math.inf)
    doing = page.read(view)
    assert doing is not None
    assert doing.budget is None


def test_half_a_write_is_not_read() -> None:
    before, after = _page(), _page()
    page.write(before, 1, b"idle", 1.0)
    page.write(after, 2, b"running", 2.0, 60.0)
    head = 8 + 8 + 8 + page.PHASE_BYTES + 4 + 8 + page.SUBJECT_BYTES
    for done in range(1, head + 1):
        torn = bytes(after[:done]) + bytes(before[done:])
        assert page.read(torn) is None, done


def test_the_last_slot_that_was_started_is_read_beside_all_the_rest() -> None:
    view = _page()
    assert page.read_ran(view) is None
    for count, slot in enumerate((1000.25, 2000.5, 3000.75), 1):
        page.write(view, count, b"running", 1.0)
        page.write_member(view, "m" * page.MEMBER_BYTES)
        page.write_ran(view, count, slot)
        assert page.read_ran(view) == slot
    doing = page.read(view)
    assert doing is not None
    assert (doing.count, page.read_member(view)) == (3, "m" * page.MEMBER_BYTES)


def test_of_a_slot_that_is_written_by_half_the_one_before_is_the_last_that_was_started() -> None:
    before = _page()
    page.write_ran(before, 1, 1000.25)
    page.write_ran(before, 2, 2000.5)
    after = memoryview(bytearray(before))
    page.write_ran(after, 3, 3000.75)
    found = [page.read_ran(bytes(after[:done]) + bytes(before[done:])) for done in range(page.SIZE + 1)]
    assert set(found) == {2000.5, 3000.75}
    assert found == sorted(found), "from one to the other, and never to an older one"


def test_a_slot_that_is_no_number_was_not_started() -> None:
    view = _page()
    page.write_ran(view, 1, math.nan)
    page.write_ran(view, 2, math.inf)
    assert page.read_ran(view) is None


def test_a_page_with_no_number_in_its_times_says_nothing() -> None:
    view = _page()
    page.write(view, 1, b"idle", math.nan)
    assert page.read(view) is None
    page.write(view, 1, b"idle", 1.0, math.nan)
    assert page.read(view) is None


def test_the_member_id_is_kept_beside_it_and_cut_to_its_place() -> None:
    view = _page()
    page.write(view, 1, b"polling", 1.0)
    page.write_member(view, "rdkafka-1234")
    assert page.read_member(view) == "rdkafka-1234"
    page.write_member(view, "m" * 1000)
    assert page.read_member(view) == "m" * page.MEMBER_BYTES
    assert page.read(view) is not None


@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=48))
def test_no_page_raises_whatever_it_holds(head: bytes, member: bytes, ran: bytes) -> None:
    raw = bytearray(page.SIZE)
    raw[: len(head)] = head
    raw[1024 : 1024 + len(member)] = member
    raw[2048 : 2048 + len(ran)] = ran
    page.read(bytes(raw))
    page.read_ran(bytes(raw))
    assert len(page.read_member(bytes(raw))) <= page.MEMBER_BYTES


@given(st.binary(max_size=400), st.integers(1, 2**63))
def test_no_text_of_a_whole_page_is_longer_than_its_place(data: bytes, count: int) -> None:
    view = _page()
    page.write(view, count, data, 1.0, 2.0, data)
    doing = page.read(view)
    assert doing is not None
    assert len(doing.phase) <= page.PHASE_BYTES
    assert len(doing.subject) <= page.SUBJECT_BYTES


def test_a_member_length_beyond_its_place_is_cut() -> None:
    raw = bytearray(page.SIZE)
    struct.pack_into("<H", raw, 1024, 65535)
    assert len(page.read_member(bytes(raw))) == page.MEMBER_BYTES
