"""What is wrong in a configuration: where, what was expected, what was found, what to do. All of it at once.

A Fault knows the key path only; a Problem knows the file and the line as well and is fit to be printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches

from supervisor.core.errors import Exit, SupervisorError
from supervisor.core.escape import escape

Path = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_LONGEST_KEY = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong, or only suspicious (`warning`), at a key path."""

    path: Path
    found: str = ""  # empty: the value that stands at the path
    expected: str = ""  # empty: `found` says it all
    hint: str = ""
    warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    file: str
    line: int | None = None
    key: str = ""
    found: str = ""
    expected: str = ""
    hint: str = ""
    source: str = ""  # the line itself, without secrets

    @property
    def text(self) -> str:
        """What is wrong, in one line, without the place."""
        said = ", ".join(part for part in (self.expected and f"expected {self.expected}", self._found) if part)
        separator = ", " if self.hint.startswith("did you mean") else "; "
        return escape(f"{said}{separator}{self.hint}" if self.hint else said)

    @property
    def _found(self) -> str:
        return f"found {self.found}" if self.expected and self.found else self.found

    def render(self) -> str:
        """Return one line as compilers write it, and the source line below."""
        place = f"{escape(self.file)}:{self.line}" if self.line else escape(self.file)
        head = ": ".join(part for part in (place, self.key, self.text) if part)
        return f"{head}\n{self.line:5} | {self.source}" if self.line and self.source else head

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "text": self.text, "rendered": self.render()}


class ConfigError(SupervisorError):
    """The configuration cannot be used; nothing was changed."""

    exit = Exit.USAGE

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.render() for problem in self.problems))


def dotted(path: Path) -> str:
    """Return the path as TOML writes it: keys that are not bare in quotes, list places as [0]."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (_cut(part) if _BARE.fullmatch(part) else quoted(part))
    return escape(text)


def quoted(text: str) -> str:
    """Return a text in quotes as TOML could hold it, cut when long."""
    return '"' + _cut(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_KEY else text[:_LONGEST_KEY] + "…"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint, or nothing when no known word is near."""
    near = get_close_matches(word[:_LONGEST_KEY], known, n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else ""


def one_of(words: Sequence[str]) -> str:
    """Return `"a", "b" or "c"`."""
    *rest, last = (f'"{word}"' for word in words)
    return f"{', '.join(rest)} or {last}" if rest else last
