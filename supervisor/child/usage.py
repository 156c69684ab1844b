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
