"""The plan says when a task is due in words, so that a status needs no process of the task's to tell."""

from __future__ import annotations

import pytest

from supervisor.core.config.load import load


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        ('every = "90s"', "every 1m30s"),
        ('at = "03:30"\non = ["mon", "fri"]', "at 03:30 mon, fri UTC"),
        ('cron = "0 6 * * *"', "at 06:00 every day UTC"),
        ('once = "2027-01-31T09:00:00+01:00"', "once at 2027-01-31 08:00:00Z"),
    ],
)
def test_the_plan_says_when_a_task_is_due(trigger: str, words: str) -> None:
    source = f'[tasks.a]\nrun = "m:f"\n{trigger}\n'.encode()
    (child,) = load(source, file="config.toml", env={}, project_dir="/project").plan.children
    assert child.when == words
