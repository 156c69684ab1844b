"""RUNS IN A CHILD: what the process uses. The owner of psutil on this side."""

from __future__ import annotations

import os
import time
from typing import Any

import psutil

_PAGE = os.sysconf("SC_PAGESIZE")


class Usage:
    """Made after the fork: the file is this process's own."""

    def __init__(self) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def rss(self) -> int:
        """Return resident bytes. The file is held open: a process without a free descriptor goes on beating."""
        return int(os.pread(self._statm, 256, 0).split()[1]) * _PAGE

    def cpu(self) -> float:
        """Return seconds of CPU that all threads have used since the fork."""
        return time.process_time()

    def detail(self) -> dict[str, Any]:
        """Return what an operator asks for once, not what every beat carries."""
        process = psutil.Process()  # half a MiB of its own, so only when it is asked for
        with process.oneshot():
            return {
                "rss": self.rss(),
                "uss": int(process.memory_full_info().uss),
                "cpu": self.cpu(),
                "fds": process.num_fds(),
                "threads": process.num_threads(),
            }


def forget_peak() -> None:
    """Let the peak of resident memory begin at what is resident now (proc(5), clear_refs: 5)."""
    try:
        with open("/proc/self/clear_refs", "wb", buffering=0) as file:
            file.write(b"5")
    except OSError:
        pass  # a kernel or a sandbox without it: the peak is then that of the whole life


def peak() -> int | None:
    """Return the most bytes that were resident since `forget_peak`."""
    try:
        with open("/proc/self/status", "rb") as file:
            line = next(line for line in file if line.startswith(b"VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        return None
