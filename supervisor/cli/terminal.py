"""RUNS IN THE USER'S TERMINAL: what the terminal can show, and the one way to write there.

Colour by hand: twelve escape codes are no reason for a library that doubles the start-up time.
Sources: no-color.org, force-color.org.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import IO

from supervisor.core.status import Table
from supervisor.core.words import width

_CODES = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "cyan": 36, "dim": 90, "bold": 1}


def colour(stream: IO[str] | None = None) -> bool:
    """Say whether colours go to `stream` (stdout)."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return _terminal(stream) and os.environ.get("TERM", "") != "dumb"


def columns() -> int | None:
    """Return the width to fit into; None when stdout is no terminal: then nothing is cut.

    COLUMNS counts on a terminal only: libraries (readline) export it into pipelines that nobody looks at.
    """
    if not _terminal(None):
        return None
    import shutil  # it brings the compressors along

    return max(20, shutil.get_terminal_size((80, 24)).columns)


def paint(text: str, style: str, *, coloured: bool) -> str:
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if coloured and style else text


def lines(table: Table, *, coloured: bool) -> list[str]:
    """Return the aligned lines of a table, its header first, without blanks at the end."""
    made = [_join([paint(h, "bold", coloured=coloured) for h in table.header], table.header, table.widths)]
    for row in table.rows:
        painted = [paint(cell.text, cell.style, coloured=coloured) for cell in row]
        made.append(_join(painted, [cell.text for cell in row], table.widths))
    return made


def say(text: str = "") -> None:
    """Write a line of data to stdout."""
    sys.stdout.write(text + "\n")


def say_all(texts: Iterable[str]) -> None:
    for text in texts:
        say(text)


def flush() -> None:
    sys.stdout.flush()


def tell(text: str) -> None:
    """Write a line for the person to stderr."""
    sys.stderr.write(text + "\n")


def _join(shown: list[str], texts: Iterable[str], widths: Iterable[int]) -> str:
    padded = [each + " " * (w - width(text)) for each, text, w in zip(shown, texts, widths, strict=True)]
    return "  ".join(padded).rstrip()


def _terminal(stream: IO[str] | None) -> bool:
    return (stream or sys.stdout).isatty()
