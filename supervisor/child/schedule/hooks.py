"""RUNS IN A CHILD: functions of the user's that are called with a record when a run begins, has ended, or is missed.

They are called between runs, in the main thread. What they raise, and that they take too long, is logged and goes no
further: the run and its record are what they would be without.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

from supervisor.child.loader import LoadError, load
from supervisor.child.runtime import Runtime
from supervisor.child.schedule.evidence import users
from supervisor.child.schedule.ledger_file import record
from supervisor.child.schedule.timeout import Alarm, TaskTimeout
from supervisor.core.spec import TaskSettings
from supervisor.core.words import short

log = logging.getLogger(__name__)
WITHIN = 10.0  # seconds for one call, then an exception ends it
SLACK = 30.0  # and so much later, when it hears no exception, the parent ends the process


class Hooks:
    """Those that cannot be loaded are told of once, and left out: `check` has said so too."""

    def __init__(self, rt: Runtime, settings: TaskSettings, alarm: Alarm) -> None:
        self._rt, self._alarm = rt, alarm
        self._known: dict[str, Callable[..., Any]] = {}
        for key in ("on_start", "on_finish", "on_missed"):
            if target := getattr(settings, key):
                self._load(key, target)

    def _load(self, key: str, target: str) -> None:
        try:
            self._known[key] = load(target)
        except LoadError as error:
            log.warning("%s: not called: %s", key, error, extra={"event": "hook_failed"})

    def call(self, key: str, row: Mapping[str, Any]) -> None:
        hook = self._known.get(key)
        if hook is None:
            return
        self._rt.enter("hook", key, budget=WITHIN + SLACK)
        try:
            with self._alarm.after(WITHIN, _too_long):
                _called(hook, record(self._rt.spec.group, row))
        except BaseException as error:  # sys.exit in a hook is a failed hook
            shown = error.with_traceback(users(error) or error.__traceback__)
            log.warning("%s failed: %r; runs go on", key, error, exc_info=shown, extra={"event": "hook_failed"})


def _called(hook: Callable[..., Any], row: Mapping[str, Any]) -> None:
    result = hook(row)
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError('expected a plain function, found "async def"')


def _too_long() -> None:
    raise TaskTimeout(f"not done within {short(WITHIN)}")
