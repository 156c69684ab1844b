"""RUNS IN PYTEST: what is thrown at whatever reads: JSON of all shapes, bytes that were good once; and the bounds."""

from __future__ import annotations

import os
import re
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FORKWARDEN_FUZZ", "150"))
FUZZ = settings(
    deadline=None,
    max_examples=EXAMPLES,
    derandomize=os.environ.get("CI") == "true",
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
MIB = 1 << 20
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029\ud800-\udfff]")

texts = st.text(st.characters(codec=None), max_size=40) | st.sampled_from(
    ["", "\x1b[2J", "\u202e", "a\nb", "\ud800", "x" * 5000]
)
numbers = st.integers() | st.floats() | st.sampled_from([1e308, 10**400, -1, 2**63, 2**64])
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
hostile = st.sampled_from(
    [
        b"[" * 30_000,
        b'{"a":' * 10_000,
        b'"' + b"\\u0000" * 500 + b'"',
        b"9" * 6000,
        b"1e999999",
        b"NaN",
        b"\xff\xfe{\x00",
    ]
)


def damaged(good: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Good bytes, some of them changed, cut out or doubled."""

    def damage(data: bytes, changes: list[tuple[float, str, bytes]]) -> bytes:
        for share, how, put in changes:
            at = int(share * len(data))
            cut = {"put": at, "over": at + len(put), "cut": at + 9, "half": len(data)}[how]
            data = data[:at] + (b"" if how in ("cut", "half") else put) + data[cut:]
        return data

    change = st.tuples(st.floats(0, 1), st.sampled_from(["put", "over", "cut", "half"]), st.binary(max_size=6))
    return st.builds(damage, good, st.lists(change, max_size=4))


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


@contextmanager
def within(limit: int) -> Iterator[None]:
    """What Python allocates meanwhile, at its highest, in bytes."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= limit, f"{peak} bytes at once, at most {limit} are allowed"


def printable(text: str) -> bool:
    """Fit for a terminal, lines and tabs allowed."""
    return not _UNFIT.search(text)
