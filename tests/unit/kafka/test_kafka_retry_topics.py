"""What a record was and has been through goes with it through the retry topics."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.kafka.retry_topics import OURS, Header, Journey, journey, name, names, own

JOURNEY = Journey(
    topic="orders",
    partition=3,
    offset=70_000_000_000,
    timestamp=1_700_000_000_123,
    timestamp_type=1,
    group="shop",
    attempts=4,
    first=1_700_000_001_000,
    due=1_700_000_060_000,
    stage=1,
)


def test_the_topics_are_named_after_the_source_and_the_delay() -> None:
    assert name("orders", 60.0) == "orders.retry.1m"
    assert names(["a", "b"], [60.0, 5400.0]) == ("a.retry.1m", "a.retry.1h30m", "b.retry.1m", "b.retry.1h30m")
    assert names(["a"], []) == ()


def test_it_reads_what_it_wrote_and_the_records_own_headers_stay_as_they_were() -> None:
    mine: list[Header] = [("a", b"1"), ("a", None), ("x-forwarded", b"")]
    written = JOURNEY.headers(mine)
    assert written[:3] == mine
    assert journey(written) == JOURNEY
    assert own(written) == mine


def test_a_record_without_a_timestamp_stays_without() -> None:
    assert journey(replace(JOURNEY, timestamp=-1, timestamp_type=0).headers([])) == replace(
        JOURNEY, timestamp=-1, timestamp_type=0
    )


def test_what_somebody_else_put_into_the_topic_has_no_journey() -> None:
    assert journey([]) is None
    assert journey([("a", b"1")]) is None
    assert journey([(OURS + "due", b"1")]) is None


@pytest.mark.parametrize("value", [b"soon", b"", None, b"-2", b"9" * 30, b"9" * 20, b"\xff"])
def test_a_number_that_is_none_is_not_believed(value: bytes | None) -> None:
    headers = [(key, value if key == OURS + "due" else each) for key, each in JOURNEY.headers([])]
    assert journey(headers) is None


@given(st.lists(st.tuples(st.sampled_from([OURS + "due", OURS + "topic", "a"]), st.none() | st.binary(max_size=30))))
def test_no_headers_make_it_fail(headers: list[Header]) -> None:
    journey(headers)
    own(headers)
