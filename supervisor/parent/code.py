"""RUNS IN THE PARENT: a child that was given up because of its code is tried again when that code changes."""

from __future__ import annotations

import os

from supervisor.core.lifecycle.events import State
from supervisor.core.spec import BrokerSettings, ChildSpec, TaskSettings
from supervisor.parent.site import Site

Seen = tuple[int, ...]


class CodeWatch:
    """Two stats a second for each child that is fatal, none for the others."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._seen: dict[str, Seen] = {}

    def forked(self, name: str) -> None:
        """Remember the code that the new process is about to read."""
        self._seen[name] = self._signature(self._site.fleet.specs[name])

    def changed(self) -> list[str]:
        """Return the fatal children whose module is another one than their last process read."""
        return [name for name in self._fatal() if self._signature(self._site.fleet.specs[name]) != self._seen.get(name)]

    def _fatal(self) -> list[str]:
        return [name for name, child in self._site.fleet.children.items() if child.state is State.FATAL]

    def _signature(self, spec: ChildSpec) -> Seen:
        base = os.path.join(self._site.plan.supervisor.project_dir, *_module(spec).split("."))
        return tuple(_mtime(path) for path in (f"{base}.py", f"{base}/__init__.py"))


def _module(spec: ChildSpec) -> str:
    settings = spec.settings
    if isinstance(settings, BrokerSettings):
        return ""
    return (settings.run if isinstance(settings, TaskSettings) else settings.handler).partition(":")[0]


def _mtime(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
