"""The storm of storm.py in small, and a judge that can say no."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import pytest

from chaos import storm
from chaos.storm_judge import Did, judged
from support.real_kafka import RealKafka

SMALL = ["at_least_once, record by record", "ledger"]


@pytest.mark.kafka
@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", SMALL)
def test_nothing_is_lost_in_a_small_storm(own_kafka: RealKafka, tmp_path: Path, mode: str) -> None:
    """The broker of this file is bounced too."""
    seed = random.randrange(10**6)
    given = argparse.Namespace(records=10_000, kills=6, freezes=2, bounces=1, pause=0.2, seed=seed)
    print(f"--seed {seed}")
    found, harm, _ = storm.storm(own_kafka, tmp_path / "project", mode, given)
    assert (found.sent, len(harm.killed), harm.bounces) == (10_000, 6, 1)


def test_the_judge_of_the_storm_tells_whose_fault_it_was() -> None:
    ends = {0: 4, 1: 1}
    done = [Did(1, 0, 0), Did(1, 0, 1), Did(2, 0, 1), Did(2, 0, 3), Did(3, 0, 3), Did(4, 0, 3)]
    found = judged(done, ends, killed=[1], frozen=[3])
    assert found.lost == ((0, 2), (1, 0))
    assert found.passed == (Did(2, 0, 3), Did(3, 0, 3), Did(4, 0, 3))
    assert (found.twice, dict(found.by_kill), found.by_freeze, found.by_nothing) == (3, {1: 1}, 2, ())
    assert judged(done[:3], ends, killed=[], frozen=[]).by_nothing == (Did(2, 0, 1),)
