"""A run that was prepared and whose function was not called: its slot is owed still."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from supervisor.core.schedule.unwritten import PREPARING, as_it_is, never_began

SLOT = "2026-11-25T14:00:00.000Z"
RECORD: dict[str, Any] = {"task": "mail", "slot": SLOT, "kind": "schedule", "state": "running", "attempt": 1}
RECORD |= {"started": SLOT, "lateness": 0.0}
EXIT: dict[str, Any] = {"cause": "crash", "reason": "killed", "phase": PREPARING, "subject": SLOT}
EXIT |= {"time": "2026-11-25T13:59:59.995Z"}
RAN = datetime.fromisoformat(SLOT).timestamp()


def test_who_died_before_the_slot_it_waited_for_has_not_started_it() -> None:
    assert never_began(RECORD, EXIT)
    assert never_began(RECORD, {**EXIT, "ran": RAN - 1})


@pytest.mark.parametrize(
    ("record", "last"),
    [
        ({}, {"phase": "running"}),
        ({}, {"subject": "2026-11-25T13:59:59.000Z"}),
        ({}, {"ran": RAN}),  # a verdict came in time, the process moved on
        ({"kind": "manual"}, {}),
        ({"attempt": 2}, {}),
        ({"slot": None}, {"subject": None}),
    ],
    ids=["in the run", "of another slot", "started since", "by hand", "a retry", "no slot"],
)
def test_whatever_may_have_started_counts_as_started(record: dict[str, Any], last: dict[str, Any]) -> None:
    assert not never_began({**RECORD, **record}, {**EXIT, **last})


def test_until_the_next_process_decides_the_slot_is_missed() -> None:
    found = as_it_is(RECORD, {"pid": None, "last_exit": EXIT}, 7)
    assert found == {"task": "mail", "slot": SLOT, "kind": "schedule", "state": "missed", "reason": "down"}
