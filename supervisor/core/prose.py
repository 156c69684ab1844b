"""RUNS ANYWHERE: the texts of others made fit for a place: the gist of an error, cut or wrapped between words."""

from __future__ import annotations

import re

from supervisor.core.words import cut, width

_BACKGROUND = re.compile(r"\s*\(Background on this error at: [^)]*\)?")  # SQLAlchemy's, under every error
_MORE = "…"


def gist(error: str) -> str:
    r"""Return the one line of an error that says what it is: its first, of a traceback the first below it.

    >>> gist("OperationalError: connection refused\n\tIs the server running?\n(Background on this error at: https://x)")
    'OperationalError: connection refused'
    """
    lines = [each for each in _BACKGROUND.sub("", error).splitlines() if each.strip()]
    if lines and lines[0].startswith("Traceback"):
        frames = [at for at, each in enumerate(lines[:-1]) if each.startswith("  ") or not at]
        lines = lines[frames[-1] + 1 :] if frames else lines
    return lines[0].strip() if lines else ""


def shorten(text: str, columns: int) -> str:
    """Return `text`, or as many whole words of it as fit with "…" behind them."""
    if width(text) <= columns:
        return text
    kept = cut(text, columns).removesuffix(_MORE)
    head, blank, tail = kept.rpartition(" ")
    if text[len(kept) : len(kept) + 1] == " " or not blank or width(tail) > columns // 2:
        return cut(text, columns)  # at a word's end anyway, or one so long that most would be lost
    return head.rstrip(" ,;:") + _MORE


def middle(text: str, columns: int) -> str:
    """Return `text`, or its begin and its end around "…": of an error both are worth reading."""
    if width(text) <= columns:
        return text
    head = shorten(text, columns * 3 // 5)
    tail = _last(text, columns - width(head))
    return (head + tail) if tail else shorten(text, columns)


def wrap(text: str, columns: int | None, hanging: int = 0) -> list[str]:
    """Return the lines of `text` in `columns` (None: one line), all but the first behind `hanging` blanks.

    The blanks within a line stay as they are; a word that is longer than a line is cut into pieces.
    """
    if columns is None or width(text) <= columns:
        return [text]
    columns = max(columns, hanging + 10)
    made, rest = [], text
    while width(rest) > columns:
        at = _break(rest, columns, len(rest) - len(rest.lstrip(" ")))
        made.append(rest[:at].rstrip(" "))
        rest = " " * hanging + rest[at:].lstrip(" ")
    return [*made, rest] if rest.strip() else made


def _break(text: str, columns: int, indent: int) -> int:
    fits = 0
    taken = 0
    while fits < len(text) and (taken := taken + width(text[fits])) <= columns:
        fits += 1
    blank = text.rfind(" ", indent, fits + 1)
    return blank if blank > indent else max(fits, indent + 1)


def _last(text: str, columns: int) -> str:
    """The whole words at the end that fit."""
    kept = ""
    for word in reversed(text.split(" ")):
        longer = f"{word} {kept}" if kept else word
        if width(longer) > columns:
            break
        kept = longer
    return kept
