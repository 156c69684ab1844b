"""The simulator alone notices every broken rule."""

from __future__ import annotations

import pytest

from simulation.mutants import MUTANTS, Mutant, caught

STEPS = 300_000


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_a_broken_rule_is_noticed(mutant: Mutant) -> None:
    life, taken = caught(mutant, STEPS)
    assert life is not None, f"{taken} steps, and nobody noticed: {mutant.name}"
