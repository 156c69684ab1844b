"""RUNS IN THE PARENT, before the first fork: imports what children will need, so that they share its pages.

Imported, never instantiated, and one by one: a module that starts a thread is refused by name, because a lock
that its thread holds at a fork stays locked in the child. User code is not imported here: each start of a
child reads it fresh, and its errors stay in that child.
"""

from __future__ import annotations

import gc
import importlib
import sys
import time

from supervisor.core.errors import SupervisorError
from supervisor.core.spec import ConsumerSettings, Plan, TaskSettings
from supervisor.parent.heap import fill_holes, keep_for_ever
from supervisor.parent.process import assert_one_thread

THREADS_END_WITHIN = 0.5  # seconds
_KINDS = {
    "task": ("supervisor.child.schedule.runner",),
    "consumer": ("supervisor.child.kafka.consumer",),
    "broker": ("supervisor.child.broker.mock",),
}


class PreloadError(SupervisorError):
    """What [supervisor] preload names cannot be preloaded."""


def preload(plan: Plan) -> list[str]:
    """Import, and freeze the collector's view of it: a collection in a child must not touch the shared pages.

    Returns what could not be preloaded and why; children then import it themselves. Raises PreloadError.
    """
    notes = []
    for module in ["supervisor.child.main", *_ours(plan)]:
        importlib.import_module(module)
    sys.path.insert(0, plan.supervisor.project_dir)  # as in every child
    for module in plan.supervisor.preload:
        notes += _preload_one(module)
    sys.path.remove(plan.supervisor.project_dir)
    gc.collect()
    keep_for_ever()
    fill_holes()
    gc.freeze()
    gc.enable()
    return notes


def _ours(plan: Plan) -> list[str]:
    kinds = {child.kind for child in plan.children}
    modules = [module for kind in kinds for module in _KINDS[kind]]
    settings = [child.settings for child in plan.children]
    if any(isinstance(each, TaskSettings) and each.cron for each in settings):
        modules.append("supervisor.core.schedule.cron")
    if any(isinstance(each, ConsumerSettings) and each.bootstrap_servers != "embedded" for each in settings):
        modules.append("kafka.admin")  # an eviction then begins 0.17 s sooner
    return modules


def _preload_one(module: str) -> list[str]:
    notes = []
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever it does when it is imported
        why = f"{type(error).__name__}: {error}"
        notes.append(f"preload: {module} cannot be imported here ({why}); children import it themselves")
    try:
        _one_thread_again()
    except RuntimeError as error:
        where = 'config.toml: supervisor.preload: expected modules that start no thread, found "'
        raise PreloadError(f'{where}{module}"; remove it from the list') from error
    return notes


def _one_thread_again() -> None:
    """A thread that was joined is gone for Python a moment before it is gone for the kernel."""
    end = time.monotonic() + THREADS_END_WITHIN
    while True:
        try:
            assert_one_thread()
            return
        except RuntimeError:
            if time.monotonic() > end:
                raise
        time.sleep(0.01)
