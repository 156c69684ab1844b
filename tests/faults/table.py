"""RUNS IN PYTEST: docs/faults.md, of the catalogue and of what a run found: `pytest tests/faults --write-faults`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from faults.catalogue import FAULTS, GROUPS, NOT_HERE, order

FILE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
HEAD = """# Faults, and what becomes of them

Each is made for real, against a real `supervisor start`, by `pytest tests/faults` (`test_fault[ID]`).
This table is written by the run: `pytest tests/faults --write-faults`.
"""


def document(results: Mapping[str, str]) -> str:
    """Return the table. A fault that was not run has "not run"."""
    parts = [HEAD]
    for group, name in GROUPS.items():
        ids = sorted((id for id in {*FAULTS, *NOT_HERE} if id[0] == group), key=order)
        if ids:
            parts.append(
                f"\n## {group}. {name}\n\n| id | fault | how it is made | expected | result |\n|---|---|---|---|---|\n"
            )
            parts += [_row(id, results) for id in ids]
    return "".join(parts)


def held_before(text: str) -> dict[str, str]:
    """Return what an earlier run found, where the row is as it would be today: so a part can be run again."""
    return {id: "passed" for id in FAULTS if _row(id, {id: "passed"}) in text}


def _row(id: str, results: Mapping[str, str]) -> str:
    if id in NOT_HERE:
        what, why = NOT_HERE[id]
        return f"| {id} | {_cell(what)} | not on one machine: {_cell(why)} | | |\n"
    found = FAULTS[id]
    cells = (id, found.what, found.injected, found.expected, results.get(id, "not run"))
    return f"| {' | '.join(map(_cell, cells))} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
