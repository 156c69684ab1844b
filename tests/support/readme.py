"""RUNS IN PYTEST: README.md as people read it: its two commands, its snippets, every command it names."""

from __future__ import annotations

import re

from support.house import ROOT

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?:^\$ |`)((?:\.venv/bin/)?(?:supervisor|forkwarden) [a-z][^`\n#]*)", re.MULTILINE)


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced snippets of that language."""
    return [body for found, body in _FENCE.findall((ROOT / text).read_text()) if found == language]


def first_command() -> str:
    """The one that runs the main job."""
    return blocks("README.md", "sh")[0].splitlines()[0]


def test_command() -> str:
    """The one that passes the tests."""
    return blocks("README.md", "sh")[1].splitlines()[0]


test_command.__test__ = False  # type: ignore[attr-defined]  # pytest takes the name for a test


def commands(*texts: str) -> list[str]:
    """Return each `supervisor …` that is shown inline or after a prompt, and those of config.toml's comments."""
    found: list[str] = []
    for text in texts:
        content = (ROOT / text).read_text()
        found += _COMMAND.findall(content)
        if text.endswith(".toml"):
            found += re.findall(r"#.*?(supervisor [a-z]+)\.", content)
    return sorted({command.strip() for command in found})
