"""A million random steps in virtual time, every promise checked after each. More: `python tests/simulation/run.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from simulation import run
from simulation.mutants import Mutant, loaded
from simulation.simulator import Simulator

STEPS = 1_000_000
RUN = Path(run.__file__)


def test_random_lives_keep_every_promise() -> None:
    taken = 0
    for life in run.lives(STEPS, seed=1):
        taken += life.steps
        if life.failure:
            raise AssertionError(run.explained(life))
    assert taken >= STEPS


def test_the_same_seed_gives_the_same_life() -> None:
    first, again, another = (Simulator(seed, record=True).run() for seed in (7, 7, 8))
    assert (first.digest, first.trace) == (again.digest, again.trace)
    assert first.digest != another.digest


def test_a_life_is_the_same_in_another_process() -> None:
    """Python hashes strings differently in each: no order may hang on a set of them."""
    command = [sys.executable, str(RUN), "--replay", "11"]
    traces = {
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True, timeout=120
        ).stdout
        for seed in ("1", "2")
    }
    assert len(traces) == 1


def test_however_many_processes_share_the_work_the_same_lives_come_out() -> None:
    def lived(processes: int) -> str:
        command = [sys.executable, str(RUN), "--steps", "30000", "--processes", str(processes)]
        told = subprocess.run(command, capture_output=True, check=True, timeout=120, text=True).stdout
        assert "every promise kept" in told
        return told.partition(", in ")[0]

    assert lived(1) == lived(3)


def test_a_broken_promise_is_explained_by_what_the_child_went_through() -> None:
    hasty = Mutant("hasty", "body", "DUMP_WITHIN = 0.3", "DUMP_WITHIN = 0.0")
    with loaded(hasty) as fleet:
        failed = [life for life in run.lives(20_000, 1, fleet) if life.failure]
        text = run.explained(failed[0], fleet)
    assert "no time for the stacks to be written" in text
    assert "→ Dump()" in text
    assert f"--replay {failed[0].seed}" in text
