"""RUNS IN THE PARENT: writes the journal of up and down times and toggles (core/journal says what it is for).

A line is one append without fsync: after a power cut the last minute may be missing, which reads as down.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from supervisor.core import journal as core
from supervisor.core.journal import Event
from supervisor.parent import statefile
from supervisor.parent.linefile import LineFile

ALIVE_EVERY = 60.0
_READ_LIMIT = 4 * core.MAX_BYTES
_SHRINK_TO = core.MAX_BYTES // 2


class Journal:
    """Times are epoch seconds. Nothing here raises: what could not be written is in `problem`."""

    def __init__(self, path: str, *, stamp: str) -> None:
        self.path = path
        self.notes: list[str] = []
        lines = self._load(stamp)
        self._file = LineFile(path)
        self._toggles = core.toggles(lines)
        self._alive_at = 0.0

    @property
    def problem(self) -> str | None:
        return self._file.problem

    def up(self, now: float) -> None:
        self._add(Event(now, "up"))

    def down(self, now: float) -> None:
        self._add(Event(now, "down"))

    def alive(self, now: float) -> None:
        """Call it as often as you like: it writes once a minute."""
        if not 0 <= now - self._alive_at < ALIVE_EVERY:
            self._add(Event(now, "alive"))

    def toggle(self, name: str, *, enabled: bool, now: float) -> None:
        """Write it when it differs from what was last written of `name`, in an earlier life too."""
        if self._toggles.get(name) != enabled and self._add(Event(now, "enabled" if enabled else "disabled", name)):
            self._toggles[name] = enabled

    def settle(self, enabled: Mapping[str, bool], now: float) -> None:
        """Write what config.toml switched on or off; of one that was always on there is nothing to say."""
        for name, on in enabled.items():
            if self._toggles.get(name, True) != on:
                self.toggle(name, enabled=on, now=now)

    def _add(self, event: Event) -> bool:
        done = self._file.append(core.to_line(event))
        self._alive_at = event.time if done else 0.0  # what was not written is tried again at the next look
        if self._file.size > core.MAX_BYTES:
            self._compact()
        return done

    def _compact(self) -> None:
        """Rewrite it shorter: about once in two weeks, half a megabyte."""
        try:
            data = statefile.read(self.path, _READ_LIMIT) or b""
            shorter = core.compact(data.decode(errors="replace").splitlines(), _SHRINK_TO)
            _replace(self.path, "".join(f"{line}\n" for line in shorter).encode())
        except (OSError, statefile.Unusable):
            pass  # it stays long; the next line tries again

    def _load(self, stamp: str) -> list[str]:
        try:
            data = statefile.read(self.path, _READ_LIMIT) or b""
            lines = data.decode(errors="replace").splitlines()
            if lines and not core.events(lines):
                raise statefile.Unusable("no line of one")
        except statefile.Unusable as error:
            aside = statefile.set_aside(self.path, stamp)
            self.notes.append(f"{self.path}: expected the journal, found: {error}; {aside}")
            return []
        return lines


def _replace(path: str, data: bytes) -> None:
    fresh = f"{path}.new"
    if os.path.lexists(fresh):
        os.unlink(fresh)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if os.write(fd, data) < len(data):
            raise OSError("short write")
    finally:
        os.close(fd)
    os.rename(fresh, path)
