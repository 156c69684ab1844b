from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core import durations


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("0s", 0.0),
        ("500ms", 0.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1d", 86400.0),
        ("1.5h", 5400.0),
        ("90m", 5400.0),
        ("3650d", durations.LONGEST),
        ("1d2h3m4s5ms", 93784.005),
    ],
)
def test_what_people_write_becomes_seconds(written: str, seconds: float) -> None:
    assert durations.parse(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        "",
        "30",
        "30 s",
        " 30s",
        "30s\n",
        "-1s",
        "+1s",
        "1e3s",
        "nan",
        "inf",
        "infs",
        "30 parsecs",
        "5M",
        "1w",
        "ms",
        "30m1h",
        "1s1s",
        "1ms1s",
        ".5s",
        "1.s",
        "٣s",
        "1h30",
        "9" * 13 + "s",
        "1s" * 60,
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(written: str) -> None:
    with pytest.raises(durations.DurationError, match='expected a duration like "30s", "5m" or "1h30m", found '):
        durations.parse(written)


def test_more_than_ten_years_is_refused() -> None:
    with pytest.raises(durations.DurationError, match=r'at most 10 years .3650d., found "3651d"'):
        durations.parse("3651d")


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0s"), (0.25, "250ms"), (1.5, "1s500ms"), (90, "1m30s"), (3600, "1h"), (90000, "1d1h"), (0.0005, "0.5ms")],
)
def test_seconds_are_written_short(seconds: float, written: str) -> None:
    assert durations.text(seconds) == written


@given(st.integers(0, int(durations.LONGEST) * 1_000_000))
def test_a_written_duration_reads_back_exactly(microseconds: int) -> None:
    seconds = microseconds / 1_000_000
    assert durations.parse(durations.text(seconds)) == seconds


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), durations.LONGEST + 1])
def test_what_is_no_duration_is_not_written(seconds: float) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        durations.text(seconds)
