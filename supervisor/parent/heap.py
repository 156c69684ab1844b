"""RUNS IN THE PARENT, before the first fork: readies its memory for being shared with children.

A page is shared until somebody writes to it. Two kinds of writes are not worth a page each, and are prevented:

- A child's first allocations would go into the holes that importing left in the C heap, a few bytes on each of
  hundreds of pages. With the holes taken they lie together on new pages: 0.9 MiB less for each child of a task
  (benchmarks/memory.py), against half a MiB once.
- Whoever uses a function, a class or a constant counts a reference in it. CPython 3.12 and 3.13 count none in an object
  whose counter says that it lives for ever (PEP 683). All that was imported does: 2.2 MiB less for each child, a third
  of its page faults, against objects that a supervisor would not free in its whole life either.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections import deque
from itertools import chain, repeat
from types import FunctionType

# A freed chunk below 1 KiB serves its own size only (tcache): each size of malloc's, 16 bytes apart, is asked for.
SIZES = (*(64 * 1024 >> shift for shift in range(6)), *range(1032, 16, -16))

# How it is said is CPython's own affair: only for versions where it was read in Include/object.h and measured.
IMMORTAL_SINCE, NOT_TRIED = (3, 12), (3, 14)
IMMORTAL = 0xFFFFFFFF  # in the lower half of the counter
USUAL = sys.maxsize > 1 << 32 and sys.byteorder == "little"  # where the lower half comes first
ADDRESSES = 1 << 48  # bytes that a process can have on x86-64 (47 bits) and on arm64
PLAIN = frozenset((str, bytes, int, float, tuple))


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


def keep_for_ever() -> int:
    """Make all that was imported immortal; return how many objects. Elsewhere does nothing: 0."""
    if sys.implementation.name != "cpython" or not IMMORTAL_SINCE <= sys.version_info < NOT_TRIED or not USUAL:
        return 0
    # A view of all memory: to call memset for each costs ten times more. An object begins with its counter.
    memory = (ctypes.c_uint32 * (ADDRESSES // 4)).from_address(0)
    counters = [address // 4 for address in _imported()]
    deque(map(memory.__setitem__, counters, repeat(IMMORTAL)), maxlen=0)
    return len(counters)


def _imported() -> set[int]:
    """Return the addresses of what the collector tracks, of code, and of the texts and numbers that either names.

    Nothing whose end somebody may wait for is among the last: no file, no lock, no buffer.
    """
    tracked = gc.get_objects()
    codes = [each.__code__ for each in tracked if type(each) is FunctionType]
    named = chain(gc.get_referents(*tracked), *((*each.co_consts, *each.co_names) for each in codes))
    parts = chain.from_iterable((each, each.co_consts, each.co_names) for each in codes)
    return {*map(id, tracked), *map(id, parts), *(id(each) for each in named if type(each) in PLAIN)}
