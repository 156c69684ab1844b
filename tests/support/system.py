"""RUNS IN PYTEST: what Linux itself says of processes; the judge that is none of ours."""

from __future__ import annotations

import os
from pathlib import Path

from support.leaks import tagged_pids


def alive(pid: int) -> bool:
    """A zombie is not alive: it only waits to be reaped."""
    return state(pid) not in ("", "Z", "X")


def state(pid: int) -> str:
    """Return R, S, D, T, Z …; "" when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def rss(pid: int) -> int:
    """Return the resident memory in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def of_this_session(title_has: str = "") -> list[int]:
    """Return the living processes that this pytest's tests started, wherever they went."""
    return [pid for pid in tagged_pids() if alive(pid) and title_has in title(pid)]
