"""${NAME} and ${NAME:-default} within the texts of config.toml; $${ stands for ${ itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from supervisor.core.config.problems import Fault, Path

MOST_CHARACTERS = 1024 * 1024  # that all references together may bring in

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{", re.ASCII)


class Filler:
    """Fills one file; what cannot be filled in stays as it is, and is a fault."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.faults: list[Fault] = []
        self._env = env
        self._left = MOST_CHARACTERS

    def fill(self, value: Any, path: Path = ()) -> Any:
        match value:
            case str():
                return self._text(value, path)
            case dict():
                return {key: self.fill(inner, (*path, key)) for key, inner in value.items()}
            case list():
                return [self.fill(inner, (*path, place)) for place, inner in enumerate(value)]
        return value

    def _text(self, text: str, path: Path) -> str:
        if "${" not in text:
            return text
        try:
            return _REFERENCE.sub(self._reference, text)
        except _CannotFill as error:
            self.faults.append(Fault(path=path, expected=error.expected, found=error.found, hint=error.hint))
            return text

    def _reference(self, match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        name, default = match[1], match[2]
        if name is None:
            raise _CannotFill("${NAME} or ${NAME:-default}", "a ${ without them", "write $${ for a plain ${")
        value = self._env.get(name)
        if not value and default is not None:  # as in a shell: an empty one counts as none
            value = default
        if value is None:
            hint = f"set it, or write ${{{name}:-default}}"
            raise _CannotFill(f"the environment variable {name}", "no such variable", hint)
        return self._checked(name, value)

    def _checked(self, name: str, value: str) -> str:
        self._left -= len(value)
        if self._left < 0:
            raise _CannotFill(f"at most {MOST_CHARACTERS:,} characters from the environment", "more")
        if any("\ud800" <= character <= "\udfff" for character in value):  # how os.environ holds other bytes
            raise _CannotFill(f"text in the environment variable {name}", "bytes that are not UTF-8")
        return value


class _CannotFill(Exception):
    def __init__(self, expected: str, found: str, hint: str = "") -> None:
        super().__init__(expected)
        self.expected, self.found, self.hint = expected, found, hint
