"""RUNS IN THE SOAK and in its watcher: what was done to the tree and when, one line of JSON each, by the boot clock."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def clock() -> float:
    """Seconds since the machine's boot: the clock that /proc/PID/stat goes by."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Moment:
    at: float
    what: str
    about: dict[str, Any]


class Writer:
    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, what: str, **about: Any) -> None:
        os.write(self._fd, json.dumps({"at": clock(), "what": what, **about}).encode() + b"\n")


class Follower:
    """Gives each whole line of a file once."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0

    def lines(self) -> Iterator[str]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        yield from whole.decode(errors="replace").splitlines()

    def moments(self) -> Iterator[Moment]:
        for line in self.lines():
            about = json.loads(line)
            yield Moment(about.pop("at"), about.pop("what"), about)
