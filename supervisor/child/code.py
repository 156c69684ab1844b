"""RUNS IN A CHILD, for development only: leaves for a new process when a file of its own code was saved."""

from __future__ import annotations

import os
import sys
import time

from supervisor.child.runtime import Runtime
from supervisor.core.errors import Exit
from supervisor.core.wire.messages import Bye


class Code:
    """The modules of the project that this process has imported, looked at with every beat."""

    def __init__(self, project_dir: str) -> None:
        self._project = project_dir + os.sep
        self._began = time.time_ns()
        self._seen: dict[str, int] = {}

    def changed(self) -> str | None:
        """Return a file that is not what was imported any more."""
        for file in self._files():
            try:
                now = os.stat(file).st_mtime_ns
            except OSError:
                continue  # just being replaced
            before = self._seen.setdefault(file, now)
            if now != before or now > self._began:  # saved since we looked, or between the import and our first look
                return file
        return None

    def _files(self) -> list[str]:
        found = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        return [file for file in found if file and file.startswith(self._project) and "site-packages" not in file]


def leave(runtime: Runtime, file: str) -> None:
    """As a drain by order: what is in hand finishes."""
    name = os.path.relpath(file, runtime.supervisor.project_dir)
    runtime.post(Bye(Exit.OK, f"recycle: {name} changed"))
    runtime.draining = True
    runtime.wake()
