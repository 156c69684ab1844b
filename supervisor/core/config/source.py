"""The text of config.toml: its bytes to TOML data, and the line on which each key stands.

tomllib tells no positions of keys. So the text is cut into statements, by growing a piece line by line until it
parses by itself; what that piece defines stands on its first line. No TOML grammar is written a second time here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from supervisor.core.config import redact
from supervisor.core.config.problems import ConfigError, Fault, Path, Problem, dotted, quoted
from supervisor.core.escape import escape

MOST_BYTES = 1024 * 1024
MOST_LEVELS = 16  # keys within keys; the validator and the printer recurse
_NESTED = f"at most {MOST_LEVELS} keys or lists within each other"
_PARSED_AT_MOST = 4 * MOST_BYTES  # characters spent on finding lines; beyond, keys are named without their line
_BOMS = ((b"\xef\xbb\xbf", "UTF-8"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_AT = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)\Z")
_LONGEST_LINE = 120
_URL_PATH = re.compile(r"(://[^/\s\"']{1,300}/)[^\s\"']+")  # of a webhook, say: it is its password
_UNQUOTED = re.compile(r"=\s*[0-9]+(ms|s|m|h|d)\b")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # one within a word would hide the word from us
_PART = r"(?:[\w-]++|\"[^\"\n]*+\"|'[^'\n]*+')"
_DOTTED = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{200}}")  # a key like that takes tomllib minutes
_HEADER = re.compile(r"\s*\[")


@dataclass(frozen=True)
class Source:
    """A file that is TOML. Whether it says anything sensible is another question."""

    file: str
    text: str
    data: dict[str, Any]

    @cached_property
    def _lines(self) -> list[str]:
        return _split(self.text)

    @cached_property
    def _positions(self) -> dict[Path, int]:
        positions: dict[Path, int] = {}
        for line, path in _definitions(self._lines):
            positions.setdefault(path, line)
        return positions

    def line(self, path: Path) -> int | None:
        """Return the line of the key, or of the nearest table around it."""
        while path and path not in self._positions:
            path = path[:-1]
        return self._positions.get(path)

    def header(self, path: Path) -> int | None:
        """Return the line of the table's own header, if it has one."""
        headers = ((start, data) for start, piece, data in _statements(self._lines) if _HEADER.match(piece))
        return next((start for start, data in headers if _deepest(data) == path), None)

    def where(self, path: Path) -> str:
        line = self.line(path)
        return f"{self.file}:{line}" if line else self.file

    def at(self, path: Path) -> Any:
        """Return the value at the path as it is written, or None."""
        value: Any = self.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def problem(self, fault: Fault) -> Problem:
        line, value = self.line(fault.path), self.at(fault.path)
        filled = isinstance(value, str) and "${" in value and not fault.found
        secret = _is_secret(fault.path)
        return Problem(
            file=self.file,
            line=line,
            key=dotted(fault.path),
            found=fault.found or shown(value, secret=secret),
            expected=fault.expected,
            hint=fault.hint or ("look at what its variable holds" if filled else ""),
            source="" if secret or line is None else _excerpt(self._lines, line, first=line),
        )


def read(raw: bytes, file: str) -> Source:
    """Return the file's content.

    Raises ConfigError when it is not TOML, in whichever of its ways the parser says so.
    """
    text = _decode(raw, file)
    if far := _DOTTED.search(text):
        raise _refuse(file, _NESTED, "far more", line=text.count("\n", 0, far.start()) + 1)
    try:
        source = Source(file, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise _syntax(error, text, file) from None
    except RecursionError:
        line = _first_line_with(RecursionError, text)
        raise _refuse(file, _NESTED, "far more", line=line) from None
    except ValueError:  # int() of more than 4,300 digits
        line = _first_line_with(ValueError, text)
        raise _refuse(file, "numbers of at most 19 digits", "one of more than 4,000", line=line) from None
    if not source.data:
        raise _refuse(file, "[tasks.NAME] or [consumers.NAME] tables", "nothing in the file")
    _check_depth(source)
    return source


def shown(value: Any, *, secret: bool = False) -> str:
    """Return a value as it may stand in a message: short, on one line, no secret in it."""
    match value:
        case _ if secret:
            return redact.HIDDEN
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(redact.text(value))
        case list():
            return "an empty list" if not value else "a list"
        case dict():
            return "a table"
        case int() if abs(value) >= 10**20:
            return "a number of more than 20 digits"
    return str(value)


def _decode(raw: bytes, file: str) -> str:
    if len(raw) > MOST_BYTES:
        raise _refuse(file, f"at most {MOST_BYTES:,} bytes", "more")
    for bom, name in _BOMS:
        if raw.startswith(bom):
            raise _refuse(file, "UTF-8 without a byte order mark", f"the mark of {name}", line=1)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _refuse(file, "UTF-8", f"the byte 0x{raw[error.start]:02x}", line=line) from None


def _refuse(file: str, expected: str, found: str, *, line: int | None = None) -> ConfigError:
    return ConfigError([Problem(file=file, line=line, expected=expected, found=found)])


def _split(text: str) -> list[str]:
    """TOML's lines, which end with a line feed only (str.splitlines knows seven more)."""
    return [line + "\n" for line in text.split("\n")]


def _first_line_with(kind: type[Exception], text: str) -> int | None:
    for number, line in enumerate(_split(text), 1):
        try:
            tomllib.loads(line)
        except tomllib.TOMLDecodeError:  # a piece of a longer value
            continue
        except kind:
            return number
    return None


def _syntax(error: tomllib.TOMLDecodeError, text: str, file: str) -> ConfigError:
    said = str(error)
    at = _AT.search(said)
    lines = _split(text.rstrip("\n"))
    line = int(at[1]) if at and at[1] else len(lines)
    column = f" (column {at[2]})" if at and at[2] else " (at the end of the file)"
    found = _AT.sub("", said).replace("Cannot overwrite a value", "this key is there twice")
    found = re.sub(r"Cannot declare \((.*?),?\) twice", _twice, found)[:_LONGEST_LINE]
    source = _excerpt(lines, line, first=_statement_of(lines, line))
    hint = 'a duration stands in quotes: "30s"' if _UNQUOTED.search(source) else ""
    return ConfigError([Problem(file=file, line=line, found=f"not TOML: {found}{column}", hint=hint, source=source)])


def _twice(match: re.Match[str]) -> str:
    return f"the table [{match[1].replace(chr(39), '').replace(', ', '.')}] is there twice"


def _statement_of(lines: list[str], line: int) -> int:
    """Return the line on which the statement begins that reaches to `line`."""
    first = 1
    for start, piece, _ in _statements(lines[: line - 1]):
        first = start + piece.count("\n")
    return first


def _is_secret(path: Path) -> bool:
    """Names of tasks and consumers do not count: the task rotate_token has no secret in its `every`."""
    named = path[:1] in (("tasks",), ("consumers",))
    return path == ("alerts", "url") or redact.is_secret(path[2 if named else 1 :])


def _check_depth(source: Source) -> None:
    """Without recursion: dotted keys nest as deep as the file is long."""
    stack: list[tuple[Any, Path]] = [(source.data, ())]
    while stack:
        value, path = stack.pop()
        if len(path) > MOST_LEVELS:
            raise ConfigError([source.problem(Fault(path=path[:2], expected=_NESTED, found="more"))])
        stack.extend((inner, (*path, key)) for key, inner in _inside(value))


def _inside(value: Any) -> list[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def _definitions(lines: list[str]) -> Iterator[tuple[int, Path]]:
    """Yield (line, path) for each key, in the order of the file."""
    table: Path = ()
    for start, piece, data in _statements(lines):
        if _HEADER.match(piece):
            table = _deepest(data)
            yield from ((start, table[:end]) for end in range(1, len(table) + 1))
        else:
            yield from ((start, table + path) for path in _paths(data))


def _statements(lines: list[str]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    start, piece, spent = 1, "", 0
    for number, line in enumerate(lines, 1):
        piece += line
        spent += len(piece)
        if spent > _PARSED_AT_MOST:
            return
        try:
            data = tomllib.loads(piece)
        except (ValueError, RecursionError):  # a value of several lines, of which more is needed; or no TOML at all
            continue
        yield start, piece, data
        start, piece = number + 1, ""


def _deepest(data: Any) -> Path:
    """Return the path that a table's header names."""
    path: Path = ()
    while data and len(path) <= MOST_LEVELS:
        key, data = next(iter(data.items())) if isinstance(data, dict) else (0, data[0])
        path += (key,)
    return path


def _paths(data: Any) -> Iterator[Path]:
    stack: list[tuple[Any, Path]] = [(data, ())]
    while stack:
        value, path = stack.pop()
        for key, inner in _inside(value):
            yield (*path, key)
            stack.append((inner, (*path, key)))


def _excerpt(lines: list[str], line: int, *, first: int) -> str:
    """Return the source line for people; nothing when its statement, begun on line `first`, may hold a secret."""
    if any(redact.mentions_secret(_CONTROL.sub("", text)) for text in lines[first - 1 : line]):
        return ""
    plain = _CONTROL.sub("", lines[line - 1]).strip()
    kept = _URL_PATH.sub(rf"\1{redact.HIDDEN}", redact.text(plain))
    return escape(kept if len(kept) <= _LONGEST_LINE else kept[:_LONGEST_LINE] + "…")
