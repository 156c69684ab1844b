"""RUNS IN A CHILD: who else is told of a task's runs, besides ledger, log and parent. None of them can harm a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from supervisor.child.runtime import Runtime
from supervisor.child.schedule.hooks import Hooks
from supervisor.child.schedule.timeout import Alarm
from supervisor.core.schedule.missed import Range
from supervisor.core.spec import TaskSettings

if TYPE_CHECKING:
    from supervisor.child.schedule.ping import Pings

LAST_WORDS = 2.0  # seconds at the end of the process for what is not sent yet
_SILENT = ("backfill",)  # what is long past is no sign of life


class Telling:
    """`row` is always the record, as the ledger has it at that moment."""

    def __init__(self, rt: Runtime, settings: TaskSettings, alarm: Alarm) -> None:
        self._pings = _pings(settings.ping, rt.spec.group)
        self._hooks = Hooks(rt, settings, alarm)

    def began(self, row: Mapping[str, Any]) -> None:
        if self._pings and row["kind"] not in _SILENT:
            self._pings.began(row)
        self._hooks.call("on_start", row)

    def ended(self, row: Mapping[str, Any]) -> None:
        """After its last attempt."""
        if self._pings and row["kind"] not in _SILENT:
            self._pings.ended(row)
        self._hooks.call("on_finish", row)

    def closed(self, closed: Range) -> None:
        """Of slots that did not run."""
        if closed.state == "missed":
            fields = asdict(closed)
            self._hooks.call("on_missed", {"slot": fields.pop("first"), "kind": "schedule"} | fields)

    def close(self) -> None:
        if self._pings:
            self._pings.close(LAST_WORDS)


def _pings(url: str | None, task: str) -> Pings | None:
    if url is None:
        return None
    from supervisor.child.schedule.ping import Pings  # 2 MiB and 30 ms, for who wants it

    return Pings(url, task)
