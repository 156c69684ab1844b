"""RUNS IN A CHILD: what a run cost, and where its code was when its time was over: for the ledger."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Mapping
from typing import Any

from supervisor.child import usage
from supervisor.child.birth import LastExit

STACKS = 8000  # characters that are kept: of stacks the end tells most
_READ = 4 * 1024 * 1024  # a report is smaller
_OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep  # the folder child/


class Cost:
    """Begins when it is made. CPU is of all threads of the process, memory its peak meanwhile."""

    def __init__(self) -> None:
        self._cpu = time.process_time()
        usage.forget_peak()

    def taken(self) -> dict[str, Any]:
        return {"cpu": round(time.process_time() - self._cpu, 4), "rss": usage.peak()}


def stacks(error: BaseException | None) -> str | None:
    """Return where the user's code was when `error` was raised in it."""
    if error is None:
        return None
    return "".join(traceback.format_list(traceback.extract_tb(users(error))))[-STACKS:] or None


def users(error: BaseException) -> Any:
    """Return its traceback without our own frames before the user's first one."""
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith(_OURS):
        tb = tb.tb_next
    return tb


def left(folder: str, task: str, previous: LastExit | None) -> dict[str, Any]:
    """Return what the supervisor kept of the process before: its stacks, and the most memory it was seen with."""
    if previous is None:
        return {}
    try:
        with open(f"{folder}/{task}-{previous.at:.3f}.json", encoding="utf-8") as file:
            found = json.loads(file.read(_READ))
    except (OSError, ValueError, RecursionError):
        return {}  # the disk was full, or nobody missed the process
    return _told(found) if isinstance(found, Mapping) else {}


def _told(report: Mapping[str, Any]) -> dict[str, Any]:
    curve = report.get("curve")
    seen = [each.get("rss") for each in curve if isinstance(each, Mapping)] if isinstance(curve, list) else []
    peak = max((rss for rss in seen if isinstance(rss, int)), default=None)
    text = report.get("stacks")
    return {"rss": peak, "stacks": text[-STACKS:] if isinstance(text, str) and text else None}
