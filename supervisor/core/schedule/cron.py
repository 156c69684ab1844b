"""PURE: cron expressions. cronsim reads and walks them, in wall clock time only; the way to instants is ours.

Debian's two rules: fixed times (neither minute nor hour begins with `*`) are due once per wall slot; wildcards
follow the clock as it goes, so `*/30` has four slots in an hour that comes twice. cronsim's own arithmetic with a
zone loses slots where the shift is half an hour (Australia/Lord_Howe) and knows no rule for six fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import cronsim.explain  # noqa: F401  cronsim itself imports it late; so it is shared with the children
from cronsim import CronSim, CronSimError

from supervisor.core.schedule import wall
from supervisor.core.schedule.slots import Trigger

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_DAY = 86400  # no zone has ever changed its offset there and back within a day


@dataclass(frozen=True, slots=True)
class Cron(Trigger):
    """Five fields, or six with seconds first, or an alias."""

    expression: str
    zone: ZoneInfo
    fields: str = field(init=False, compare=False)
    fixed: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        fields = ALIASES.get(self.expression.strip().lower(), self.expression)
        try:
            CronSim(fields, wall.from_seconds(0))
        except CronSimError as e:
            raise ValueError(f'cron: "{self.expression}": {_why(self.expression, e)}') from e
        minute, hour = fields.split()[-5:-3]
        object.__setattr__(self, "fields", fields)
        object.__setattr__(self, "fixed", not minute.startswith("*") and not hour.startswith("*"))

    def next_after(self, t: float) -> float | None:
        return self._fixed(t) if self.fixed else self._wild(int(t // 1) + 1)

    def describe(self) -> str:
        text = CronSim(self.fields, wall.from_seconds(0)).explain()
        return f"{text[:1].lower()}{text[1:]} {self.zone.key}"

    def _fixed(self, t: float) -> int | None:
        for reading in CronSim(self.fields, wall.reading(t, self.zone)):
            slot = wall.instant(reading, self.zone)
            if slot > t:  # not so in the second pass of an hour that comes twice
                return slot
        return None

    def _wild(self, begin: int) -> int | None:
        """Return the first slot at or after `begin`: walk within one offset, start again where it changes."""
        while True:
            ahead = wall.offset(begin, self.zone)
            reading = self._walk(wall.from_seconds(begin + ahead - 1))
            if reading is None:
                return None
            slot = wall.seconds(reading) - ahead
            changed = self._change(begin, slot)
            if changed is None:
                return slot
            begin = changed

    def _walk(self, after: datetime) -> datetime | None:
        return next(iter(CronSim(self.fields, after)), None)

    def _change(self, begin: int, end: int) -> int | None:
        """Return the first second in (begin, end] with another offset than `begin`."""
        old = wall.offset(begin, self.zone)
        for t in range(begin, end, _DAY):
            step = min(t + _DAY, end)
            if wall.offset(step, self.zone) != old:
                return wall.change(t, step, self.zone)
        return None


def _why(expression: str, error: CronSimError) -> str:
    if expression.startswith("@"):
        return f"expected one of {', '.join(ALIASES)}"
    if "fields" in str(error):
        return f"expected 5 fields, or 6 with seconds first, found {len(expression.split())}"
    return f"{str(error)[:1].lower()}{str(error)[1:]}"
