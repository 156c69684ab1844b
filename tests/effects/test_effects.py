"""A short life of a supervisor, one effect of which fails: some of all. All of them: `python tests/effects/run.py`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from effects import seam
from effects.run import all_of, sample
from effects.scenario import Lived, live

LIVES = 24
PARENT = Path(seam.__file__).parents[2] / "supervisor" / "parent"
OTHERS = [PARENT.parent / "console.py", PARENT.parent / "helper" / "write_state.py"]


@pytest.mark.timeout(600)
def test_whatever_fails_once_every_promise_is_kept_or_nothing_lives_on() -> None:
    clean = live("")
    assert clean.end == "kept"
    assert len(clean.effects) > 500
    chosen = sample(clean.effects, LIVES)
    came = all_of(chosen, lanes=2)
    wrong = [f"{effect}: {found}" for effect, found in came.items() if isinstance(found, AssertionError)]
    assert not wrong, "\n\n".join(wrong)
    lived = {effect: found for effect, found in came.items() if isinstance(found, Lived)}
    assert set(lived) == set(chosen)
    assert all(found.had(effect) for effect, found in lived.items()), "it failed, and did not only threaten to"
    assert sum(found.end == "kept" for found in lived.values()) >= LIVES / 2


def test_a_start_that_cannot_be_is_refused_in_one_line_and_the_next_one_is_as_any_other() -> None:
    assert live("socket.socketpair@parent/signals.py:__init__#1").end == "refused"
    assert live("os.open@console.py:open_standard_streams#1").end == "refused"


def test_every_call_of_the_kernel_in_the_parent_is_counted_or_is_known_to_be_harmless() -> None:
    """A new one must be put into the list of those that can fail, or of those that cannot."""
    known = {name.removeprefix("os.") for name in seam.REFUSALS if name.startswith("os.")} | seam.HARMLESS
    unknown = {f"{file.name}: os.{name}" for file in [*PARENT.glob("*.py"), *OTHERS] for name in calls(file)}
    assert {each for each in unknown if each.partition("os.")[2] not in known} == set()


def calls(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr=name)):
                yield name
