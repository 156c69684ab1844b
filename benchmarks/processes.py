"""What the kernel tells of processes: who lives, what memory and CPU they use, how often they wake."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB. PSS counts what is shared by its share, USS not at all."""

    pss: float
    uss: float


@dataclass(frozen=True, slots=True)
class Busy:
    """What all threads of a process have used so far."""

    seconds: float
    wakes: int


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def below(pid: int) -> list[int]:
    """Return its children and theirs."""
    found = [int(child) for task in _tasks(pid) for child in _read(f"/proc/{pid}/task/{task}/children").split()]
    return [each for child in found for each in (child, *below(child))]


def memory(pid: int) -> Memory:
    kib = {"Pss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines()[1:]:
        key, _, rest = line.partition(":")
        if key in kib:
            kib[key] = int(rest.split()[0])
    return Memory(kib["Pss"] / 1024, (kib["Private_Clean"] + kib["Private_Dirty"]) / 1024)


def busy(pid: int) -> Busy:
    """By schedstat: nanoseconds, where utime counts ticks of 10 ms."""
    seconds, wakes = 0.0, 0
    for task in _tasks(pid):
        seconds += int((_read(f"/proc/{pid}/task/{task}/schedstat") or "0").split()[0]) / 1e9
        for line in _read(f"/proc/{pid}/task/{task}/status").splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                wakes += int(line.split()[1])
    return Busy(seconds, wakes)


def wait_for(condition: Callable[[], bool], within: float, every: float = 0.0005) -> bool:
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(every)
    return True


def kill_all(pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def others_busy(seconds: float = 0.5) -> float:
    """Return how many cores the machine uses while we sleep: what other programs take from a measurement."""

    def used() -> int:
        fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(fields) - fields[3] - fields[4]

    before = used()
    time.sleep(seconds)
    return (used() - before) / os.sysconf("SC_CLK_TCK") / seconds


def _tasks(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""  # it ended meanwhile
