"""RUNS IN THE COMMANDS of tests/chaos, in their watcher, and in pytest: processes as Linux shows them.

Nothing of the product is in here: a judge that shares code with the judged shares its mistakes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

TAG = "FORKWARDEN_CHAOS"  # in the environment of one tree, so in that of all its descendants
RUN_ID = b"FORKWARDEN_RUN_ID="
TICKS = os.sysconf("SC_CLK_TCK")
YOUNG = 3.0  # seconds in which a process may still become ours: by an exec with the tag in its environment
PAGE = os.sysconf("SC_PAGESIZE")


@dataclass(frozen=True, slots=True)
class Seen:
    """One process at one moment. `born` is in seconds since the machine's boot, as CLOCK_BOOTTIME."""

    pid: int
    parent: int
    session: int
    state: str
    born: float
    title: str
    run_id: str

    @property
    def dead(self) -> bool:
        return self.state in "ZX"

    @property
    def identity(self) -> tuple[int, float]:
        return self.pid, self.born

    @property
    def role(self) -> str:
        """ "supervisor", "guard", or the name of a child or helper; "" for what is none of these."""
        name = self.title.removeprefix("forkwarden: ")
        return name.split()[0] if name != self.title and name else ""


class Tree:
    """All processes that bear one tag. A zombie, or one between two programs, has none: it is known by what it was."""

    def __init__(self, tag: str) -> None:
        self._mark = f"{TAG}={tag}".encode()
        self._known: dict[tuple[int, float], tuple[bool, str]] = {}  # whether it is ours, and its run-id

    def look(self) -> dict[int, Seen]:
        """Return every process of the tree, zombies too."""
        found: dict[int, Seen] = {}
        known: dict[tuple[int, float], tuple[bool, str]] = {}
        young = time.clock_gettime(time.CLOCK_BOOTTIME) - YOUNG
        for pid in pids():
            stat = _stat(pid)
            if stat is None:
                continue
            parent, session, state, born = stat
            about = self._known.get((pid, born))
            if about is None or (not about[1] and (about[0] or born > young)):  # an exec brings tag and run-id
                about = self._ask(pid) or about or (False, "")
            known[pid, born] = about
            if about[0]:
                found[pid] = Seen(pid, parent, session, state, born, title(pid), about[1])
        self._known = known
        return found

    def living(self) -> dict[int, Seen]:
        return {pid: seen for pid, seen in self.look().items() if not seen.dead}

    def _ask(self, pid: int) -> tuple[bool, str] | None:
        """None: it is gone, dead, or between two programs."""
        entries = read(f"/proc/{pid}/environ").split(b"\0")
        if len(entries) < 2:
            return None
        run_id = next((entry[len(RUN_ID) :].decode() for entry in entries if entry.startswith(RUN_ID)), "")
        return self._mark in entries, run_id


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _stat(pid: int) -> tuple[int, int, str, float] | None:
    """Parent, session, state, born."""
    fields = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    if len(fields) < 20:
        return None
    return int(fields[1]), int(fields[3]), fields[0].decode(), int(fields[19]) / TICKS


def alive(pid: int) -> bool:
    """A zombie is not alive: it only waits to be reaped."""
    found = _stat(pid)
    return found is not None and found[2] not in "ZX"


def any_alive(pids: Iterable[int]) -> bool:
    return any(alive(pid) for pid in pids)


def children(pid: int) -> list[int]:
    found = []
    for task in listed(f"/proc/{pid}/task"):
        found += [int(child) for child in read(f"/proc/{pid}/task/{task}/children").split()]
    return found


def title(pid: int) -> str:
    return read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


@dataclass(frozen=True, slots=True)
class Size:
    """What a process holds. `rss` in MiB."""

    descriptors: int
    threads: int
    rss: float


def size(pid: int) -> Size:
    return Size(
        len(listed(f"/proc/{pid}/fd")),
        len(listed(f"/proc/{pid}/task")),
        int((read(f"/proc/{pid}/statm") or b"0 0").split()[1]) * PAGE / 2**20,
    )


def held(pid: int) -> Mapping[str, str]:
    """Descriptors and what they lead to, for a message."""
    found = {}
    for fd in listed(f"/proc/{pid}/fd"):
        try:
            found[fd] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            pass
    return found


def listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # it ended between the listing and the reading
        return b""
