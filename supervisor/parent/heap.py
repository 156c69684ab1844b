"""RUNS IN THE PARENT, before the first fork: fills the holes that importing left in the C heap.

A child's first allocations would go into these holes, a few bytes on each of hundreds of pages, and every page
that is written to is copied. With the holes taken they lie together on new pages: 0.9 MiB less for each child of
a task (benchmarks/memory.py), against half a MiB once.
"""

from __future__ import annotations

import ctypes

# A freed chunk below 1 KiB serves its own size only (tcache): each size of malloc's, 16 bytes apart, is asked for.
SIZES = (*(64 * 1024 >> shift for shift in range(6)), *range(1032, 16, -16))


class _Info(ctypes.Structure):
    """struct mallinfo2, mallinfo(3)."""

    _fields_ = (("others", ctypes.c_size_t * 9), ("keepcost", ctypes.c_size_t))


def fill_holes() -> None:
    """Take what is free below the top of the heap, and keep it. Does nothing where the C library is not glibc 2.33+."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        return
    libc.mallinfo2.restype = _Info
    libc.malloc.argtypes, libc.malloc.restype = (ctypes.c_size_t,), ctypes.c_size_t
    libc.free.argtypes = (ctypes.c_size_t,)
    libc.sbrk.argtypes, libc.sbrk.restype = (ctypes.c_ssize_t,), ctypes.c_size_t
    top = libc.sbrk(0) - libc.mallinfo2().keepcost
    for size in SIZES:
        while 0 < (block := libc.malloc(size)) < top:
            pass
        libc.free(block)  # it came from the top: no hole of this size is left
