"""RUNS ANYWHERE: what is said of a name that nothing has, the same words everywhere."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST = 300


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return there is no child 'ordres'; did you mean 'orders'?  With nothing near: all there are."""
    return "; ".join(each for each in (missing(what, name), hint(what, name, known)) if each)


def missing(what: str, name: str) -> str:
    return f"there is no {what} {cut(name, 80)!r}"


def no_task(name: str) -> str:
    return f"{name!r} is no task: only tasks have runs"


def hint(what: str, name: str, known: Iterable[str]) -> str:
    """Return the near one, or all of them, or "" when there is none at all."""
    names = sorted(set(known))
    if found := near(name, names):
        return found
    return cut(f"{_MANY.get(what, what + 's')}: {', '.join(names)}", LONGEST) if names else ""


def near(name: str, known: Iterable[str]) -> str:
    """Return did you mean 'orders'? or ""."""
    from difflib import get_close_matches

    found = get_close_matches(name[:100], list(known), n=1, cutoff=0.6)  # cut: its cost grows with the square
    return f"did you mean {found[0]!r}?" if found else ""


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


_MANY = {"child": "children"}
