"""RUNS IN THE PARENT: keeps the evidence of an end that nobody asked for: one small file each, the latest ten."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

from supervisor.core.lifecycle.exits import LastExit

KEEP = 10


def keep(folder: str, child: str, pid: int, last: LastExit, stacks: str) -> str | None:
    """Write it; return the path, or None when the disk does not take it: the log has the reason all the same."""
    path = f"{folder}/{child}-{last.at:.3f}.json"
    report = {"child": child, "pid": pid, **asdict(last), "stacks": stacks}
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
        _forget_old(folder, child)
    except OSError:
        return None
    return path


def _forget_old(folder: str, child: str) -> None:
    mine = sorted(name for name in os.listdir(folder) if name.rpartition("-")[0] == child)
    for name in mine[:-KEEP]:
        os.unlink(f"{folder}/{name}")
