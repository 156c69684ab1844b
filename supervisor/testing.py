"""RUNS ANYWHERE, for the tests of a project: what its schedules would do, on a clock that does not wait.

>>> runs = simulate('[tasks.tick]\\nrun = "m:f"\\nevery = "8h"\\n', "2026-10-25T00:00Z", 24)
>>> [(run.slot, run.state) for run in runs][-1]
('2026-10-25T16:00:00.000Z', 'ok')
"""

from __future__ import annotations

import os
import random
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

from supervisor.child.schedule.ledger_file import COLUMNS, record
from supervisor.core.config.load import load
from supervisor.core.names import unknown
from supervisor.core.schedule import wall
from supervisor.core.schedule.simulated import Result, Row, Simulated, switched_off
from supervisor.core.schedule.slots import trigger
from supervisor.core.spec import ChildSpec, TaskSettings

Duration = float | Sequence[float] | Callable[[datetime], float]
Outcome = str | Exception | Sequence[str | Exception] | Callable[[datetime], str | Exception]


class Run(dict[str, Any]):
    """One record, as `supervisor history NAME --json` has it; its keys are attributes too, None where it has none."""

    def __getattr__(self, name: str) -> Any:
        if name == "task" or name in COLUMNS:
            return self.get(name)
        raise AttributeError(f"a run has no {name!r}; it has task, {', '.join(COLUMNS)}")


def simulate(
    config: str | os.PathLike[str],
    start: str | datetime,
    hours: float,
    tz: str | None = None,
    *,
    durations: Mapping[str, Duration] | None = None,
    outcomes: Mapping[str, Outcome] | None = None,
    env: Mapping[str, str] | None = None,
    seed: int = 0,
) -> list[Run]:
    """Return the records of all tasks in [start, start + hours), by time. No user code runs.

    `config`: the path of a config.toml, or its text. `tz`: the zone of tasks that name none, and of a `start` without
    an offset. `durations`: NAME to seconds, a list of them that is gone through again and again, or a function of the
    slot. `outcomes`: likewise, "ok", "failed" or an exception. Jitter and backoff are drawn from `seed`.
    Raises ConfigError, with all that is wrong; ValueError for a task that there is not.
    """
    text, project = _read(config)
    plan = load(text, file="config.toml", env=os.environ if env is None else env, project_dir=project).plan
    own = {name for name, table in tomllib.loads(text.decode()).get("tasks", {}).items() if "timezone" in table}
    tasks = {child.group: _placed(child, tz, own) for child in plan.children if child.kind == "task"}
    for name in (*(durations or {}), *(outcomes or {})):
        if name not in tasks:
            raise ValueError(unknown("task", name, tasks))
    begin = _instant(start, tz)
    made: list[tuple[float, Run]] = []
    for name, child in tasks.items():
        act = _Act((durations or {}).get(name, 0.0), (outcomes or {}).get(name, "ok"))
        rows = _rows(child, begin, begin + hours * 3600, act, random.Random(f"{seed} {name}"))
        made += [(float(row.get("started") or row["slot"]), Run(record(name, row))) for row in rows]
    return [run for _, run in sorted(made, key=lambda each: each[0])]


def _rows(child: ChildSpec, begin: float, end: float, act: _Act, chance: random.Random) -> Iterable[Row]:
    assert isinstance(child.settings, TaskSettings)
    found = trigger(child.settings)
    if not child.enabled:
        return switched_off(found, begin, end)
    jitter = child.policy.backoff_jitter
    return Simulated(child.settings, found, begin, act, chance.random, backoff_jitter=jitter).run(end)


class _Act:
    """What each attempt does, in turn."""

    def __init__(self, duration: Duration, outcome: Outcome) -> None:
        self._duration, self._outcome = _each(duration), _each(outcome)

    def __call__(self, slot: float) -> Result:
        outcome = self._outcome(slot)
        if outcome not in ("ok", "failed") and not isinstance(outcome, Exception):
            raise ValueError(f'outcomes: expected "ok", "failed" or an exception, found {outcome!r}')
        error = f"{type(outcome).__name__}: {outcome}" if isinstance(outcome, Exception) else "failed"
        return Result(float(self._duration(slot)), None if outcome == "ok" else error)


def _each(given: Any) -> Callable[[float], Any]:
    if callable(given):
        return lambda slot: given(datetime.fromtimestamp(slot, UTC))
    if isinstance(given, Sequence) and not isinstance(given, str):
        turns: Iterator[Any] = cycle(given)
        return lambda slot: next(turns)
    return lambda slot: given


def _placed(child: ChildSpec, tz: str | None, own: set[str]) -> ChildSpec:
    """`own`: tasks that name their zone."""
    assert isinstance(child.settings, TaskSettings)
    if tz is None or child.group in own:
        return child
    return replace(child, settings=replace(child.settings, timezone=tz))


def _read(config: str | os.PathLike[str]) -> tuple[bytes, str]:
    if isinstance(config, str) and ("\n" in config or "[" in config):
        return config.encode(), os.getcwd()
    path = os.path.abspath(config)
    with open(path, "rb") as file:
        return file.read(), os.path.dirname(path)


def _instant(start: str | datetime, tz: str | None) -> float:
    zone = wall.zone(tz or "UTC")
    if isinstance(start, str):
        return wall.bound("start", start, zone)[0]
    return start.timestamp() if start.tzinfo else float(wall.instant(start.replace(microsecond=0), zone))
