"""Times and sizes as people read them: short, one unit or two, never more digits than mean something."""

from __future__ import annotations

from datetime import datetime
from unicodedata import combining, east_asian_width

LATEST = 253402300800.0  # the year 10000, as far as datetime goes
_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))


def short(seconds: float) -> str:
    """Return a duration: 0.21s, 8s, 2m05s, 2h14m, 3d4h.

    >>> [short(s) for s in (0.004, 0.21, 8, 125, 8040, 273600)]
    ['4ms', '0.21s', '8s', '2m05s', '2h14m', '3d4h']
    """
    seconds = max(0.0, seconds)
    if not seconds < LATEST:  # infinity, NaN: somebody's mistake, which must not end a table
        return "?"
    if 0 < seconds < 0.01:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.2g}s" if seconds < 1 else f"{seconds:.1f}s"
    whole = round(seconds)
    for size, unit, part, small in _UNITS:
        if whole >= size:
            return f"{whole // size}{unit}" + _rest(whole % size // part, small, pad=size < 86400)
    return f"{whole}s"


def ago(seconds: float) -> str:
    return f"{coarse(seconds)} ago"


def coarse(seconds: float) -> str:
    """Return a duration of which the small part does not matter: 12s, 4m, 2h14m, 2d."""
    if not abs(seconds) < LATEST:
        return "?"
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    return f"{whole // 86400}d" if whole >= 2 * 86400 else short(whole - whole % 60)


def size(amount: float) -> str:
    """Return bytes as 512B, 38M, 1.2G (powers of 1,024)."""
    for unit in ("B", "K", "M"):
        if amount < 1023.5:  # rounds to a number of at most four digits
            return f"{amount:.0f}{unit}"
        amount /= 1024
    return f"{amount:.1f}G"


def epoch(time: object) -> float | None:
    """Return epoch seconds of an RFC 3339 text, or of epoch seconds; None when it is neither."""
    if isinstance(time, (int, float)) and not isinstance(time, bool):
        return float(time) if abs(time) < LATEST else None  # no NaN, no infinity
    try:
        return datetime.fromisoformat(time).timestamp() if isinstance(time, str) else None
    except (ValueError, OverflowError):
        return None


def width(text: str) -> int:
    """Return how many columns of a terminal `text` takes: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, columns: int) -> str:
    """Return `text`, or as much of it as fits with "…" at its end."""
    if width(text) <= columns:
        return text
    kept = text[: max(0, columns)]
    while kept and width(kept) > columns - 1:
        kept = kept[:-1]
    return kept + "…" if columns > 0 else ""


def _rest(amount: int, unit: str, *, pad: bool) -> str:
    if not amount:
        return ""
    return f"{amount:02}{unit}" if pad else f"{amount}{unit}"
