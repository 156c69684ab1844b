"""How long runs took, in one line below the history."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.cli.figures import BARS, MOST, percentile, summary


def ok(took: object) -> dict[str, Any]:
    return {"state": "ok", "duration": took}


def test_bars_are_as_high_as_the_runs_were_long() -> None:
    runs = [ok(0.1), {"state": "failed", "duration": 9.0}, {"state": "missed"}, ok(0.4), ok(0.8), {"state": "running"}]
    assert summary(runs, None) == "▂✗·▅█▶  p50 0.4s  p95 0.8s  (3 ok, 1 not)"


def test_of_too_few_runs_that_went_well_there_is_nothing_to_say() -> None:
    assert summary([], None) == ""
    assert summary([ok(1.0), ok(2.0), {"state": "failed", "duration": 1.0}], None) == ""
    assert summary([ok(1.0), ok(2.0), ok(3.0)], None)
    assert summary([{"state": "failed", "duration": 1.0}, {"state": "missed"}], None) == ""


@pytest.mark.parametrize("took", [None, "1", True, -1.0, float("nan"), float("inf")])
def test_a_time_that_is_none_is_left_out(took: object) -> None:
    assert summary([ok(took), *[ok(2.0)] * 3], None) == f"{BARS[0]}███  p50 2s  p95 2s  (3 ok)"


def test_runs_that_took_no_time_are_low_bars() -> None:
    assert summary([ok(0.0), ok(0), ok(0.0)], None).startswith(BARS[0] * 3 + " ")


@pytest.mark.parametrize(("columns", "bars"), [(None, MOST), (200, MOST), (60, 20), (20, 1)])
def test_it_fits_the_terminal_and_shows_the_latest(columns: int | None, bars: int) -> None:
    line = summary([*[ok(1.0)] * 100, ok(8.0)], columns)
    assert line.partition(" ")[0] == BARS[1] * (bars - 1) + "█"


@pytest.mark.parametrize(
    ("values", "share", "found"), [([3.0], 50, 3.0), ([1.0, 2.0], 50, 1.0), ([4.0, 1.0, 3.0, 2.0], 95, 4.0)]
)
def test_a_percentile_is_one_of_the_values(values: list[float], share: float, found: float) -> None:
    assert percentile(values, share) == found
