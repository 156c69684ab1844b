"""RUNS IN PYTEST: what a test may not leave behind: processes, zombies, threads, descriptors.

Counted in /proc, before and after, so that a library's native threads and a daemon's forks are seen too.
A fixture that outlives a test (a broker for the whole session) says so with `keep`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

TAG = "FORKWARDEN_TEST_SESSION"  # in the environment of all that this pytest starts, however often it forks
_kept: set[int] = set()


def keep(pid: int) -> None:
    """This process, and all of its session, belongs to a fixture that cleans up by itself."""
    _kept.add(pid)


@dataclass(frozen=True, slots=True)
class Held:
    """What this pytest holds at one moment; text says what it is."""

    children: dict[int, str]
    tagged: dict[int, str]
    threads: dict[int, str]
    descriptors: dict[int, str]


def held(*, tagged: bool) -> Held:
    """`tagged`: look for descendants in all of /proc (a few ms), also for those whose parents are gone."""
    return Held(_children(), _tagged() if tagged else {}, _threads(), _descriptors())


def left_over(before: Held, after: Held) -> list[str]:
    """Return one sentence for each thing that `after` has and `before` had not."""
    processes = {**after.children, **after.tagged}
    known = before.children.keys() | before.tagged.keys()
    return [
        *(f"process {pid}: {text}" for pid, text in processes.items() if pid not in known),
        *(f"thread {tid}: {text}" for tid, text in after.threads.items() if tid not in before.threads),
        *(f"descriptor {fd}: {text}" for fd, text in after.descriptors.items() if before.descriptors.get(fd) != text),
    ]


def tagged_pids() -> list[int]:
    return list(_tagged())


def _children() -> dict[int, str]:
    found: dict[int, str] = {}
    for tid in _listed("/proc/self/task"):
        for pid in _read(f"/proc/self/task/{tid}/children").split():
            if not _is_kept(int(pid)):
                found[int(pid)] = _describe(int(pid))
    return found


def _tagged() -> dict[int, str]:
    mark = f"{TAG}={os.getpid()}\0".encode()
    pids = (pid for pid in _listed("/proc") if pid != os.getpid() and not _is_kept(pid))
    return {pid: _describe(pid) for pid in pids if mark in _read_bytes(f"/proc/{pid}/environ")}


def _threads() -> dict[int, str]:
    return {tid: _read(f"/proc/self/task/{tid}/comm").strip() for tid in _listed("/proc/self/task")}


def _descriptors() -> dict[int, str]:
    found = {}
    for fd in _listed("/proc/self/fd"):
        try:
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            pass  # the descriptor of this very listing
    return found


def _is_kept(pid: int) -> bool:
    if pid in _kept:
        return True
    try:
        return os.getsid(pid) in _kept
    except ProcessLookupError:
        return True  # gone meanwhile


def _describe(pid: int) -> str:
    status = dict(line.split(":\t", 1) for line in _read(f"/proc/{pid}/status").splitlines() if ":\t" in line)
    line = _read(f"/proc/{pid}/cmdline").replace("\0", " ").strip() or status.get("Name", "gone")
    return f"{line} (state {status.get('State', '?')}, parent {status.get('PPid', '?')})"


def _listed(folder: str) -> list[int]:
    return [int(name) for name in os.listdir(folder) if name.isdigit()]


def _read(path: str) -> str:
    return _read_bytes(path).decode(errors="replace")


def _read_bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # it ended between the listing and the reading
        return b""
