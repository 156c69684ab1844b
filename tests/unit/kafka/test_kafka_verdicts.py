"""What a handler may say of a record, and of a part of a batch."""

from __future__ import annotations

import pytest

from supervisor.core.durations import DurationError
from supervisor.core.kafka.verdicts import BatchError, DeadLetter, Parts, Retry, Skip, StopPartition, Verdict, parts

ERROR = ValueError("bad")


def test_a_wait_is_written_as_in_the_configuration_or_in_seconds() -> None:
    assert Retry("1m30s").after == 90.0
    assert Retry(2.5).after == 2.5
    assert Retry().after is None
    with pytest.raises(DurationError, match="expected a duration"):
        Retry("soon")


def test_each_verdict_says_why() -> None:
    for verdict in (Retry("1s", "too early"), DeadLetter("too early"), Skip("too early"), StopPartition("too early")):
        assert isinstance(verdict, Verdict)
        assert (verdict.why, str(verdict)) == ("too early", "too early")


def test_behind_the_index_that_failed_nothing_was_tried() -> None:
    assert parts(BatchError(2, ERROR), 5) == Parts({2: ERROR}, range(3, 5))


def test_an_index_without_a_cause_fails_by_the_error_itself() -> None:
    error = BatchError(0)
    assert parts(error, 1) == Parts({0: error}, range(1, 1))


def test_of_those_that_failed_all_others_are_done() -> None:
    skip = Skip("old")
    assert parts(BatchError(failed={3: skip, 1: ERROR}), 5) == Parts({1: ERROR, 3: skip})
    assert str(BatchError(failed={3: skip, 1: ERROR})) == "2 of a batch failed"
    assert str(BatchError(3)) == "1 of a batch failed"


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (BatchError(5, ERROR), "found 5"),
        (BatchError(failed={-1: ERROR}), "found -1"),
        (BatchError(failed={"a": ERROR}), "found 'a'"),  # type: ignore[dict-item]
        (BatchError(failed={True: ERROR}), "found True"),
        (BatchError(), "found none"),
        (BatchError(failed={1: "bad"}), "expected an exception for each index, found str"),  # type: ignore[dict-item]
    ],
)
def test_what_cannot_be_meant_is_said(error: BatchError, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        parts(error, 5)
