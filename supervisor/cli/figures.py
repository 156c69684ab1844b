"""RUNS IN THE USER'S TERMINAL: how long runs took, in one line: ▁▂▁▇✗·▂ p50 0.21s p95 0.48s."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from supervisor.core.words import short

BARS = "▁▂▃▄▅▆▇█"
ROOM = 40  # columns of what stands beside the bars
FEW = 3  # runs that went well; of fewer a percentile says nothing that the table does not
MOST = 60  # bars, however wide the terminal
_NO_RUN = ("missed", "skipped")


def summary(runs: Sequence[Mapping[str, Any]], columns: int | None) -> str:
    """Return the line for `runs`, the latest last, or "" when too few of them went well."""
    ok = [float(run["duration"]) for run in runs if run.get("state") == "ok" and _is_time(run.get("duration"))]
    if len(ok) < FEW:
        return ""
    shown = runs[-max(1, min(MOST, (columns or MOST + ROOM) - ROOM)) :]
    bars = "".join(_bar(run, max(ok)) for run in shown)
    failed = sum(run.get("state") not in ("ok", "running", *_NO_RUN) for run in runs)
    more = f", {failed} not" if failed else ""
    return f"{bars}  p50 {short(percentile(ok, 50))}  p95 {short(percentile(ok, 95))}  ({len(ok)} ok{more})"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that `share` percent of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)]


def _bar(run: Mapping[str, Any], most: float) -> str:
    """Return the height of its time; a sign for what is no run that went well."""
    state, took = run.get("state"), run.get("duration")
    if state in _NO_RUN:
        return "·"
    if state != "ok":
        return "▶" if state == "running" else "✗"
    if not _is_time(took) or most <= 0:
        return BARS[0]
    return BARS[min(len(BARS) - 1, int(float(took or 0.0) / most * len(BARS)))]


def _is_time(took: object) -> bool:
    return isinstance(took, (int, float)) and not isinstance(took, bool) and 0 <= took < math.inf
