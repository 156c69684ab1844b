"""RUNS IN THE PARENT: the toggles set at run time. What is in memory is in force; the file follows.

fsync may take seconds, so the parent never writes the file: it hands the bytes to a helper (helper/write_state)
and hears how that went. Until then `note` tells `status` that a reboot would lose the change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from supervisor.core import overrides as core
from supervisor.core.overrides import Ended, Override
from supervisor.parent import statefile

RETRY: Final = 5.0  # after a failed write: the disk may have room again


class Toggles:
    def __init__(self, path: str, *, stamp: str) -> None:
        """Load `path`. Whatever stands there, this succeeds; `stamp` names what is moved aside."""
        self.path = path
        self.current, self.notes = _load(path, stamp)
        self._dirty = bool(self.notes)  # what was understood of a broken file is written anew
        self._writing = False
        self._retry_at = 0.0
        self._problem: str | None = None

    def set(self, name: str, override: Override) -> None:
        self.current = core.toggle(self.current, name, override)
        self._changed()

    def settle(self, configured: Mapping[str, bool], now: float) -> list[Ended]:
        """Drop what has expired (`now`: epoch seconds) or was overruled by an edit of config.toml; return that."""
        self.current, ended = core.settle(self.current, configured, now)
        if ended:
            self._changed()
        return ended

    def take(self, now: float) -> bytes | None:
        """Return the document when it must be written now (`now`: monotonic); then `written` must be called."""
        if not self._dirty or self._writing or now < self._retry_at:
            return None
        self._dirty = False
        self._writing = True
        return core.to_document(self.current)

    def unwritten(self) -> bytes | None:
        """At the end: the document, unless the last change of it is known to be written."""
        return core.to_document(self.current) if self._dirty or self._writing else None

    def written(self, problem: str | None, now: float) -> None:
        """How the write ended: None, or what went wrong."""
        self._writing = False
        self._problem = problem
        if problem is not None:
            self._dirty = True
            self._retry_at = now + RETRY

    def deadline(self) -> float | None:
        """When `take` has something, monotonic; None while it has nothing to write or waits for `written`."""
        return self._retry_at if self._dirty and not self._writing else None

    @property
    def note(self) -> str | None:
        if self._problem is None:
            return None
        return f"toggles are not saved, a reboot would lose them: {self.path}: {self._problem}"

    def _changed(self) -> None:
        self._dirty = True
        self._retry_at = 0.0


def _load(path: str, stamp: str) -> tuple[dict[str, Override], list[str]]:
    try:
        data = statefile.read(path, core.MAX_BYTES)
    except statefile.Unusable as error:
        return {}, [_note(path, stamp, [str(error)])]
    if data is None:
        return {}, []
    found, problems = core.from_document(data)
    return found, [_note(path, stamp, problems)] if problems else []


def _note(path: str, stamp: str, problems: list[str]) -> str:
    shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
    return f"{path}: expected the toggles set at run time, found: {shown}; {statefile.set_aside(path, stamp)}"
