"""What a ledger does not say yet: runs whose process is gone, and who takes the slots."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.core.schedule.slots import from_text, to_text, trigger
from supervisor.core.schedule.unwritten import as_it_is, ended, is_taken
from supervisor.core.spec import TaskSettings

RUNNING = {"slot": "2026-11-25T14:00:00.000Z", "kind": "schedule", "state": "running"} | {
    "started": "2026-11-25T14:00:00.010Z"
}
EXIT = {"cause": "timed_out", "reason": "1h in one step", "time": "2026-11-25T15:00:00.000Z"}


def child(**fields: Any) -> dict[str, Any]:
    return {"pid": 7, "ready": True, "enabled": True, "last_exit": None, "last_run": None, **fields}


@pytest.mark.parametrize(
    ("status", "state", "error"),
    [
        (None, "lost", "the supervisor and the process ended together"),
        (child(), "running", None),
        (child(pid=8), "lost", "the supervisor and the process ended together"),
        (child(pid=None, last_exit=EXIT), "timed_out", "1h in one step"),
        (child(pid=8, last_exit=EXIT), "timed_out", "1h in one step"),
        (child(pid=7, last_exit=EXIT), "running", None),
        (
            child(pid=None, last_exit={**EXIT, "time": "2026-11-25T13:00:00.000Z"}),
            "lost",
            "the supervisor and the process ended together",
        ),
    ],
    ids=["nobody answers", "its writer is there", "another", "none", "another after it", "an exit before it", "older"],
)
def test_a_run_goes_on_only_in_the_process_that_wrote_it(
    status: dict[str, Any] | None, state: str, error: str | None
) -> None:
    found = as_it_is(RUNNING, status, 7)
    assert (found["state"], found.get("error")) == (state, error)
    assert found.get("finished") == (EXIT["time"] if state == "timed_out" else None)


def test_what_has_ended_stays_as_it_is_written() -> None:
    ok = {**RUNNING, "state": "ok", "finished": "2026-11-25T14:00:01.000Z"}
    assert as_it_is(ok, None, 7) is ok


def test_an_end_that_was_told_and_is_not_written_yet_is_shown() -> None:
    told = {**RUNNING, "state": "ok", "finished": "2026-11-25T14:00:01.000Z", "duration": 1.0}
    assert as_it_is(RUNNING, child(last_run=told), 7)["state"] == "ok"
    assert as_it_is(RUNNING, child(last_run={**told, "kind": "manual"}), 7)["state"] == "running"


def test_a_run_that_was_marked_at_sigterm_is_interrupted() -> None:
    assert ended("interrupted", None, None)[0] == "interrupted"
    assert ended("running", "planned", "restart") == ("interrupted", "restart")


def test_a_run_that_made_no_room_for_the_next_slot_was_killed_for_that() -> None:
    assert ended("interrupted", "timed_out", "1s in one step", overtaken=True) == ("killed", "1s in one step")
    assert ended("interrupted", "planned", "restart", overtaken=True) == ("interrupted", "restart")
    marked = {**RUNNING, "state": "interrupted", "reason": "overlap"}
    assert as_it_is(marked, child(pid=8, last_exit=EXIT), 7)["state"] == "killed"


def test_a_runner_writes_its_slots_itself_only_when_it_is_ready_and_on() -> None:
    assert is_taken(child())
    assert not is_taken(child(ready=False))
    assert not is_taken(child(enabled=False))
    assert not is_taken(None)


@pytest.mark.parametrize(
    "settings",
    [
        {"every": 30.0},
        {"at": ("06:30", "18:00"), "on": ("mon", "fri"), "timezone": "Europe/Berlin"},
        {"cron": "*/5 * * * *", "timezone": "Asia/Kolkata"},
        {"once": "2026-12-01T00:00:00Z"},
    ],
)
def test_a_schedule_is_the_same_after_the_ledger(settings: dict[str, Any]) -> None:
    made = TaskSettings(run="mine:run", **settings)
    assert from_text(to_text(made)) == trigger(made)


@pytest.mark.parametrize("text", ["None", "", "{}", "[]", '{"every": "x"}', '{"every": null}', "7"])
def test_what_is_no_schedule_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        from_text(text)
