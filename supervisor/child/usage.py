"""RUNS IN A CHILD: what the process uses. The owner of psutil on this side."""

from __future__ import annotations

import time
from typing import Any

import psutil


class Usage:
    """Made after the fork: psutil remembers the pid it was made with."""

    def __init__(self) -> None:
        self._process = psutil.Process()

    def rss(self) -> int:
        """Return resident bytes."""
        return int(self._process.memory_info().rss)

    def cpu(self) -> float:
        """Return seconds of CPU that all threads have used since the fork."""
        return time.process_time()

    def detail(self) -> dict[str, Any]:
        """Return what an operator asks for once, not what every beat carries."""
        with self._process.oneshot():
            return {
                "rss": self.rss(),
                "uss": int(self._process.memory_full_info().uss),
                "cpu": self.cpu(),
                "fds": self._process.num_fds(),
                "threads": self._process.num_threads(),
            }
