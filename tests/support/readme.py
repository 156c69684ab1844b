"""RUNS IN PYTEST: README.md as people read it: its two commands, its snippets, every command it names."""

from __future__ import annotations

import re

from supervisor.cli.group import GROUPS
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


def between(mark: str) -> str:
    """Return what stands in README.md between <!-- mark --> and <!-- /mark -->."""
    text = (ROOT / "README.md").read_text()
    return text.partition(f"<!-- {mark} -->")[2].partition(f"<!-- /{mark} -->")[0].strip()


def commands_table() -> str:
    """Return the README's table of the command's verbs, as the command itself groups them."""
    rows = [f"| `{verb}` | {text} |" for verbs in GROUPS.values() for verb, (_, text) in verbs.items()]
    return "\n".join(["| command | what |", "|---|---|", *rows])
