"""The commands of this folder in small: each promise under harm, a few dozen times. In full: see each command."""

from __future__ import annotations

import random
import shutil

import pytest

from chaos import hangs, overload, parent_kills, restarts, sigterms
from chaos.shared import life

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]

SLACK = 20.0  # seconds that a loaded machine may take more


def test_after_a_sigterm_at_any_moment_all_is_gone_in_time() -> None:
    tally = sigterms.signals(30, lanes=2, seed=random.randrange(10**6), slack=SLACK)
    assert len(tally.took) == 30


def test_after_kill_9_of_the_supervisor_nothing_is_left_and_nothing_runs_twice() -> None:
    with life(parent_kills.CONFIG, "") as living:
        gone, _ = parent_kills.kills(living, 12, random.Random())
    assert len(gone) == 6


def test_the_supervisor_stays_as_it_is_over_restarts() -> None:
    with life(restarts.config(), "") as living:
        before, after, _ = restarts.restarts(living, 300, random.Random())
        restarts.compare(living, before, after)


def test_each_way_to_hang_is_found_with_the_guilty_line() -> None:
    with life(hangs.config(), "") as living:
        found = hangs.rounds(living, 1, SLACK)
    assert [hang.kind for hang in found] == list(hangs.BODY)


@pytest.mark.skipif(shutil.which("stress-ng") is None, reason="stress-ng is not installed")
def test_nothing_healthy_is_killed_in_an_overload_and_after_a_freeze() -> None:
    with life(overload.config(), overload.CODE) as living:
        overload.overload(living, seconds=10, freeze=25, hogs=8)  # frozen for longer than a heartbeat may be late
