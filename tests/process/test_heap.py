"""Before the first fork the heap is packed: what a child allocates lies together, not in holes of shared pages."""

from __future__ import annotations

import ctypes
import gc
import sys

import pytest

from supervisor.parent.heap import fill_holes, keep_for_ever
from support.alone import alone

libc = ctypes.CDLL(None)


@pytest.mark.skipif(not hasattr(libc, "mallinfo2"), reason="needs glibc 2.33")
@pytest.mark.parametrize("size", [24, 120, 1000, 3000, 40_000])
def test_what_is_allocated_after_it_lies_above_all_that_was_there(size: int) -> None:
    def check() -> None:
        libc.malloc.argtypes, libc.malloc.restype = (ctypes.c_size_t,), ctypes.c_size_t
        libc.free.argtypes = (ctypes.c_size_t,)
        blocks = sorted(libc.malloc(size) for _ in range(400))
        for block in blocks[:-1:2]:  # holes, each between two blocks that stay
            libc.free(block)
        fill_holes()
        assert libc.malloc(size) > blocks[-1]

    alone(check)


def test_what_was_imported_is_not_written_to_by_who_only_uses_it() -> None:
    """From CPython 3.12 on: the counter of references of a function stays what it is, however often it is held."""

    def check() -> None:
        count = keep_for_ever()
        assert (count > 10_000) is (sys.version_info >= (3, 12))
        counter = ctypes.c_uint32.from_address(id(fill_holes))
        before, code_before = counter.value, sys.getrefcount(fill_holes.__code__)
        held = [fill_holes] * 100
        codes = [each.__code__ for each in held]
        assert (counter.value == before) is (sys.version_info >= (3, 12))
        assert (sys.getrefcount(codes[0]) == code_before) is (sys.version_info >= (3, 12))

    alone(check)


def a_number() -> float:
    return 4711.25


def test_nor_is_what_it_names_and_only_that() -> None:
    """Constants and texts are counted at each use as well; a buffer has an end that somebody may wait for."""

    def check() -> None:
        held = {"".join(["a", "text"]): bytearray(b"a buffer")}
        counted = [a_number(), *held, *held.values()]
        keep_for_ever()
        before = [sys.getrefcount(each) for each in counted]
        again = [list(counted) for _ in range(100)]
        grown = [sys.getrefcount(each) > count for each, count in zip(counted, before, strict=True)]
        assert len(again) == 100
        assert grown == [sys.version_info < (3, 12)] * 2 + [True]

    alone(check)


def test_what_was_made_immortal_works_as_before() -> None:
    def check() -> None:
        table: dict[str, list[int]] = {"a": [1]}
        keep_for_ever()
        for number in range(1000):
            table["a"].append(number)
            table[f"b{number}"] = [number]
        table.clear()
        gc.collect()
        exec(compile("class New:\n    pass\nmade = [New() for _ in range(1000)]", "new", "exec"), {})
        assert table == {}

    alone(check)
