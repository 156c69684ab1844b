"""Every fault of the catalogue, made for real."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from faults import table
from faults.catalogue import FAULTS, GROUPS, NOT_HERE, number, order
from faults.scene import Scene

ROOMS = ("catalogue", "conftest", "scene", "table", "test_faults")
for _file in sorted(Path(__file__).parent.glob("*.py")):
    if _file.stem not in ROOMS:
        importlib.import_module(f"faults.{_file.stem}")


def _marked(id: str) -> ParameterSet:
    mark = FAULTS[id].mark
    return pytest.param(id, id=id, marks=[getattr(pytest.mark, mark)] if mark else [])


IDS = [_marked(id) for id in sorted(FAULTS, key=order)]


@pytest.mark.parametrize("id", IDS)
def test_fault(id: str, scene: Scene) -> None:
    FAULTS[id].inject(scene)


def test_the_list_has_no_hole() -> None:
    """A number without a test has a reason, and not both."""
    assert not FAULTS.keys() & NOT_HERE.keys()
    for group in GROUPS:
        numbers = sorted({number(id) for id in {*FAULTS, *NOT_HERE} if id[0] == group})
        assert numbers == list(range(1, len(numbers) + 1)), group


def test_the_table_in_docs_is_of_this_catalogue_and_all_held() -> None:
    """Only a run writes it: all of it has passed there."""
    passed = dict.fromkeys(FAULTS, "passed")
    assert table.FILE.read_text() == table.document(passed), "pytest tests/faults --write-faults"
    assert not re.search(r"\| (failed|skipped|not run) \|", table.FILE.read_text())
