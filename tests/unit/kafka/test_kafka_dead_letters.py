"""Beside a dead letter stands where it came from and why, under Spring's names."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.kafka.deadletter import Failure, Header, Origin, clip, headers

ORIGIN = Origin(
    topic="orders",
    partition=3,
    offset=70_000_000_000,
    timestamp=1_700_000_000_123,
    timestamp_type=1,
    group_id="shop",
    handler="tasks.orders:store",
    host="h1",
    pid=12,
)
FAILURE = Failure(
    exception="builtins.ValueError", cause="builtins.KeyError", message="no", trace="Traceback …", attempts=4, first=0.5
)


def test_the_names_and_forms_are_those_of_spring() -> None:
    found = dict(headers([], ORIGIN, FAILURE))
    assert found["kafka_dlt-exception-fqcn"] == b"builtins.ValueError"
    assert found["kafka_dlt-exception-cause-fqcn"] == b"builtins.KeyError"
    assert found["kafka_dlt-exception-message"] == b"no"
    assert found["kafka_dlt-exception-stacktrace"] == "Traceback …".encode()
    assert found["kafka_dlt-original-topic"] == b"orders"
    assert found["kafka_dlt-original-partition"] == struct.pack("!i", 3)
    assert found["kafka_dlt-original-offset"] == struct.pack("!q", 70_000_000_000)
    assert found["kafka_dlt-original-timestamp"] == struct.pack("!q", 1_700_000_000_123)
    assert found["kafka_dlt-original-timestamp-type"] == b"CreateTime"
    assert found["kafka_dlt-original-consumer-group"] == b"shop"


def test_what_spring_has_no_name_for_is_text() -> None:
    found = dict(headers([], ORIGIN, FAILURE))
    assert found["x-forkwarden-source"] == b"orders:3:70000000000"
    assert found["x-forkwarden-attempts"] == b"4"
    assert found["x-forkwarden-first-failure"] == b"1970-01-01T00:00:00.500Z"
    assert found["x-forkwarden-handler"] == b"tasks.orders:store"
    assert (found["x-forkwarden-host"], found["x-forkwarden-pid"]) == (b"h1", b"12")


def test_the_records_own_headers_stay_in_front_as_they_were() -> None:
    own: list[Header] = [("a", b"1"), ("a", None)]
    assert headers(own, ORIGIN, FAILURE)[:2] == own


def test_without_a_cause_or_a_trace_there_is_no_header_of_it() -> None:
    import dataclasses

    plain = dataclasses.replace(FAILURE, cause=None)
    found = dict(headers([], dataclasses.replace(ORIGIN, timestamp_type=0), plain, trace=False))
    assert "kafka_dlt-exception-cause-fqcn" not in found
    assert "kafka_dlt-exception-stacktrace" not in found
    assert found["kafka_dlt-original-timestamp-type"] == b"NoTimestampType"


def test_long_texts_are_cut_and_a_trace_keeps_its_end() -> None:
    import dataclasses

    long = dataclasses.replace(FAILURE, message="m" * 9000, trace="x" * 9000 + "the end")
    found = dict(headers([], ORIGIN, long))
    assert found["kafka_dlt-exception-message"] == b"m" * 1024
    trace = found["kafka_dlt-exception-stacktrace"]
    assert trace is not None
    assert len(trace) == 4096
    assert trace.endswith(b"the end")


@given(st.text(), st.integers(0, 40), st.booleans())
def test_a_cut_text_is_whole_characters_of_at_most_so_many_bytes(text: str, most: int, keep_end: bool) -> None:
    cut = clip(text, most, keep_end=keep_end)
    assert len(cut) <= most
    shown = text.encode(errors="replace").decode()
    assert (shown.endswith if keep_end else shown.startswith)(cut.decode())
