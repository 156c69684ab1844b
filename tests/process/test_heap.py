"""Before the first fork the heap is packed: what a child allocates lies together, not in holes of shared pages."""

from __future__ import annotations

import ctypes

import pytest

from supervisor.parent.heap import fill_holes
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
