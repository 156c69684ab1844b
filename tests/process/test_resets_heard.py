"""A line of the client's log is all that tells of an offset that the broker no longer has."""

from __future__ import annotations

import pytest

from supervisor.child.kafka.resets import Resets, words

GONE = "fetch failed due to requested offset not available on the broker: Broker: Offset out of range"


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        (f"t [0]: offset reset (at offset 2 (leader epoch -1), broker 1) to cached BEGINNING offset 4: {GONE}", True),
        (
            f"t [0]: offset reset (at offset 2 (leader epoch -1), broker 1) to offset END (leader epoch -1): {GONE}",
            True,
        ),
        ("t [0]: offset reset (at offset BEGINNING, broker 1) to offset END: no previously committed offset", False),
        ("localhost:9092/1: Disconnected: offset out of range", False),
    ],
)
def test_only_an_offset_that_is_gone_is_one(line: str, is_one: bool) -> None:
    resets = Resets()
    resets.hear(line)
    assert bool(resets) == is_one


def test_what_was_never_read_is_counted_and_a_topic_that_was_cut_is_told_apart() -> None:
    assert words(("t", 0), 2, 5).startswith("t:0: 3 records were deleted before they were read, offsets 2 to 4; ")
    assert words(("t", 0), 9, 5).startswith("t:0: offset 9 is behind the end")
