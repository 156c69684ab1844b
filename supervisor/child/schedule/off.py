"""RUNS IN A CHILD, and in the user's terminal for `history`: when a task was off, from the parent's journal."""

from __future__ import annotations

import os

from supervisor import plain
from supervisor.core import journal
from supervisor.core.schedule.missed import Span


def spans(path: str, name: str) -> list[Span]:
    """Return the times in which `name` was disabled; the journal is short, and read as a whole."""
    try:
        with open(plain.opened(path), encoding="utf-8", errors="replace") as file:
            usual = os.fstat(file.fileno()).st_size <= 4 * journal.MAX_BYTES  # else the next start moves it aside
            lines = [line for line in file if f'"{name}"' in line] if usual else []
    except OSError:
        return []  # never toggled, or not readable: then it was down
    return [Span(*period) for period in journal.disabled_periods(lines, name)]
