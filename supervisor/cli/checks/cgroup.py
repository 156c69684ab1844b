"""RUNS IN A PROCESS OF ITS OWN, for doctor: how much our cgroup, and those above it, leave us. Version 2, and 1."""

from __future__ import annotations

import os

ROOT = "/sys/fs/cgroup"
OWN = "/proc/self/cgroup"
_V1 = {"memory.max": "memory.limit_in_bytes"}
_NO_LIMIT = 1 << 60  # version 1 writes a huge number


def left(limit: str, used: str | None, *, root: str = ROOT, own: str = OWN) -> int | None:
    """Return the least of `limit` less `used` on the way to the root; None: there is no limit."""
    found = [_one(folder, limit, used) for folder in _folders(limit.partition(".")[0], root, own)]
    return min((each for each in found if each is not None), default=None)


def _folders(controller: str, root: str, own: str) -> list[str]:
    """A container sees its own cgroup as the root: then the path below it does not exist there."""
    try:
        with open(own) as groups:
            lines = [line.rstrip("\n").split(":", 2) for line in groups]
    except OSError:
        return []
    folders: list[str] = []
    for number, names, path in lines:
        if number == "0" or controller in names.split(","):
            base = root if number == "0" else f"{root}/{controller}"
            parts = [part for part in path.split("/") if part and part != ".."]
            folders += ["/".join([base, *parts[:depth]]) for depth in range(len(parts) + 1)]
    return folders


def _one(folder: str, limit: str, used: str | None) -> int | None:
    most = _number(f"{folder}/{limit}") or _number(f"{folder}/{_V1.get(limit, limit)}")
    if most is None or most >= _NO_LIMIT:
        return None
    return max(0, most - ((_number(f"{folder}/{used}") or 0) if used else 0))


def _number(file: str) -> int | None:
    if not os.path.exists(file):
        return None
    with open(file) as opened:
        text = opened.read().strip()
    return int(text) if text.isdecimal() else None  # "max"
