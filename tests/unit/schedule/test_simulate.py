"""`supervisor.testing.simulate`: what the runner would do, on a clock that does not wait."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from supervisor.core.config.problems import ConfigError
from supervisor.testing import Run, simulate

DAY = "2026-11-25T00:00Z"


def config(**keys: str) -> str:
    lines = "".join(f"{key} = {value}\n" for key, value in {"run": '"m:f"', **keys}.items())
    return f"[tasks.a]\n{lines}"


def told(runs: list[Run]) -> list[tuple[str, str, str | None]]:
    return [(run.slot[11:19], run.state, run.reason) for run in runs]


def test_every_slot_of_a_day_has_one_record() -> None:
    runs = simulate(config(every='"30s"'), DAY, 24, durations={"a": 3.0})
    assert len(runs) == 2880
    assert {run.state for run in runs} == {"ok"}
    assert (runs[0].slot, runs[0].started, runs[0].finished, runs[0].duration, runs[0].lateness) == (
        "2026-11-25T00:00:00.000Z",
        "2026-11-25T00:00:00.000Z",
        "2026-11-25T00:00:03.000Z",
        3.0,
        0.0,
    )


def test_a_record_is_that_of_the_history_with_its_keys_as_attributes() -> None:
    (run,) = simulate(config(at='"06:30"'), DAY, 24)
    assert json.loads(json.dumps(run)) == {
        "task": "a",
        "slot": "2026-11-25T06:30:00.000Z",
        "kind": "schedule",
        "state": "ok",
        "attempt": 1,
        "started": "2026-11-25T06:30:00.000Z",
        "finished": "2026-11-25T06:30:00.000Z",
        "duration": 0.0,
        "lateness": 0.0,
    }
    assert (run.task, run.error, run.reason) == ("a", None, None)
    with pytest.raises(AttributeError, match="a run has no 'outcome'; it has task, slot"):
        _ = run.outcome


def test_slots_that_a_run_overlaps_are_skipped_and_are_one_record() -> None:
    runs = simulate(config(every='"10m"'), DAY, 1, durations={"a": [1500.0, 0.0, 0.0, 0.0, 0.0]})
    assert told(runs) == [
        ("00:00:00", "ok", None),
        ("00:10:00", "skipped", "overlap"),
        ("00:30:00", "ok", None),
        ("00:40:00", "ok", None),
        ("00:50:00", "ok", None),
    ]
    assert (runs[1].last, runs[1].slots) == ("2026-11-25T00:20:00.000Z", 2)
    queued = simulate(
        config(every='"10m"', overlap='"queue_one"'), DAY, 1, durations={"a": [1500.0, 0.0, 0.0, 0.0, 0.0]}
    )
    assert told(queued)[1:3] == [("00:10:00", "skipped", "overlap"), ("00:20:00", "ok", None)]
    assert queued[2].lateness == 300.0


def test_the_next_slot_ends_a_run_with_cancel() -> None:
    runs = simulate(config(every='"10m"', overlap='"cancel"', pause_after_failures="1"), DAY, 1, durations={"a": 900.0})
    assert told(runs)[:2] == [("00:00:00", "interrupted", "overlap"), ("00:10:00", "interrupted", "overlap")]
    assert len(runs) == 6


def test_a_run_ends_at_its_timeout() -> None:
    runs = simulate(config(every='"10m"', timeout='"25s"'), DAY, 1, durations={"a": 26.0})
    assert {(run.state, run.duration, run.error) for run in runs} == {
        ("timed_out", 25.0, "timeout: not done within its timeout of 25s")
    }


def test_a_failed_run_is_tried_again_until_the_next_slot() -> None:
    keys = {"every": '"1m"', "retries": "5", "retry_backoff": '{ base = "10s", max = "10s" }'}
    (first, *_) = simulate(config(**keys), DAY, 1, outcomes={"a": ["failed", OSError("away"), "ok"]})
    assert (first.state, first.attempt) == ("ok", 3)
    assert "2026-11-25T00:00:16" <= first.started <= "2026-11-25T00:00:20"  # 8 to 10 s, twice
    runs = simulate(config(**keys), DAY, 1, outcomes={"a": OSError("away")})
    assert {run.error for run in runs} == {"OSError: away"}
    assert len(runs) == 60
    assert max(run.attempt for run in runs) < 8
    once = simulate(
        config(every='"1m"', retries="1", retry_backoff='{ base = "2m", max = "2m" }'), DAY, 1, outcomes={"a": "failed"}
    )
    assert {run.attempt for run in once} == {1}


def test_failures_in_a_row_pause_the_task() -> None:
    runs = simulate(
        config(every='"1m"', pause_after_failures="3"), DAY, 1, outcomes={"a": ["failed", "ok", *["failed"] * 3]}
    )
    assert [run.state for run in runs] == ["failed", "ok", "failed", "failed", "failed", "skipped"]
    assert (runs[-1].reason, runs[-1].slots) == ("paused", 55)


def test_jitter_is_drawn_again_the_same_way_and_leaves_the_slot() -> None:
    made = config(every='"1m"', jitter='"20s"')
    runs = simulate(made, DAY, 1)
    assert [run.slot[14:19] for run in runs] == [f"{minute:02}:00" for minute in range(60)]
    assert len({run.lateness for run in runs}) > 50
    assert all(0 <= run.lateness < 20 for run in runs)
    assert runs == simulate(made, DAY, 1)
    assert runs != simulate(made, DAY, 1, seed=1)


def test_what_runs_at_the_start_is_beside_the_schedule() -> None:
    runs = simulate(config(every='"10m"', run_on_start="true"), "2026-11-25T00:01Z", 0.2)
    assert [(run.kind, run.slot[11:16]) for run in runs] == [("start", "00:01"), ("schedule", "00:10")]


def test_a_disabled_task_has_its_slots_accounted_for() -> None:
    (run,) = simulate(config(every='"30s"', enabled="false"), DAY, 1)
    assert (run.state, run.reason, run.slots, run.last) == ("skipped", "disabled", 120, "2026-11-25T00:59:30.000Z")


@pytest.mark.parametrize(
    ("day", "slots"),
    [("2026-03-29", ["2026-03-29T01:00:00.000Z"]), ("2026-10-25", ["2026-10-25T00:30:00.000Z"])],
)
def test_the_days_of_23_and_25_hours_have_one_run_at_half_past_two(day: str, slots: list[str]) -> None:
    runs = simulate(config(at='"02:30"'), day, 23, tz="Europe/Berlin")
    assert [run.slot for run in runs] == slots
    own = simulate(config(at='"02:30"', timezone='"UTC"'), day, 23, tz="Europe/Berlin")
    assert [run.slot for run in own] == [f"{day}T02:30:00.000Z"]


def test_functions_say_how_long_each_run_takes_and_how_it_ends() -> None:
    runs = simulate(
        config(every='"1h"'),
        datetime(2026, 11, 25, tzinfo=UTC),
        4,
        durations={"a": lambda slot: slot.hour * 10.0},
        outcomes={"a": lambda slot: "failed" if slot.hour == 2 else "ok"},
    )
    assert [(run.duration, run.state) for run in runs] == [(0.0, "ok"), (10.0, "ok"), (20.0, "failed"), (30.0, "ok")]


def test_a_file_and_a_reading_of_the_clock_will_do(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(config(every='"${EVERY}"') + '\n[tasks.b]\nrun = "m:f"\nat = "00:30"\ntimezone = "UTC"\n')
    runs = simulate(file, datetime.fromisoformat("2026-11-25T01:00"), 1, tz="Europe/Berlin", env={"EVERY": "20m"})
    assert [(run.task, run.slot[11:16]) for run in runs] == [
        ("a", "00:00"),
        ("a", "00:20"),
        ("b", "00:30"),
        ("a", "00:40"),
    ]
    assert simulate(str(file), DAY, 1, env={"EVERY": "20m"})[0].task == "a"


def test_what_cannot_be_simulated_is_said() -> None:
    with pytest.raises(ConfigError, match=r"tasks\.a\.every: expected a duration"):
        simulate(config(every="30"), DAY, 1)
    with pytest.raises(ValueError, match="there is no task 'b'"):
        simulate(config(every='"30s"'), DAY, 1, durations={"b": 1.0})
    with pytest.raises(ValueError, match='expected "ok", "failed" or an exception'):
        simulate(config(every='"30s"'), DAY, 1, outcomes={"a": "fine"})
    with pytest.raises(ValueError, match="start: expected a date or time"):
        simulate(config(every='"30s"'), "yesterday", 1)


def test_a_day_of_twenty_tasks_costs_no_more_than_a_few_seconds_of_cpu() -> None:
    tasks = "".join(f'[tasks.t{n}]\nrun = "m:f"\nevery = "30s"\n' for n in range(20))
    before = time.process_time()
    assert len(simulate(tasks, DAY, 24)) == 57_600
    assert time.process_time() - before < 20  # measured: 1 s
