"""`history` and `status` of runs whose process is dead, and of slots that no process could take."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project

Make = Callable[..., Project]
SLOW = FAST.replace('base = "200ms", max = "1s"', 'base = "10m", max = "10m"')
TASK = '[tasks.tick]\nrun = "mine:tick"\nevery = "500ms"\n'


def records(made: Project, *more: str) -> list[dict[str, Any]]:
    done = made.run("history", "tick", "--json", "-n", "1000", *more)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("code", "state"),
    [("os._exit(78)", "fatal"), ("os._exit(0)", "backoff"), ("os.kill(os.getpid(), signal.SIGSEGV)", "backoff")],
)
def test_a_run_whose_process_is_dead_is_lost_at_once(project: Make, code: str, state: str) -> None:
    made = project(SLOW + TASK, NOTE + f"def tick():\n    note('ran')\n    {code}\n")
    with made.supervisor() as supervisor:
        failures = 0 if state == "fatal" else 2  # the first restart comes at once
        child = supervisor.wait_child("tick", lambda child: (child["state"], child["restarts"]) == (state, failures))
        ran = last_run(made)
        assert (ran["state"], ran["error"]) == ("lost", child["last_exit"]["reason"])
        assert ran["finished"] == child["last_exit"]["time"]
        last = child["last_run"]
        assert [last[key] for key in ("slot", "state", "error")] == [ran[key] for key in ("slot", "state", "error")]
        assert "lost" in supervisor.cli("status", "tick").stdout
        assert supervisor.stop() == 0
    assert last_run(made)["state"] == "lost"


def last_run(made: Project) -> dict[str, Any]:
    return [record for record in records(made) if record.get("started")][-1]


def test_a_run_that_goes_on_is_running_until_the_supervisor_is_killed(project: Make) -> None:
    made = project(FAST + TASK, NOTE + "def tick():\n    note('ran')\n    time.sleep(600)\n")
    with made.supervisor() as supervisor:
        eventually(lambda: made.lines("ran"))
        assert [record["state"] for record in records(made)] == ["running"]
        pid = supervisor.pid_of("tick")
        supervisor.kill()
        eventually(lambda: not alive(pid))
        assert records(made)[0]["state"] == "lost"


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_slots_that_fell_due_while_the_code_did_not_load_are_missed(project: Make) -> None:
    made = project(SLOW + TASK, "raise RuntimeError('no')\n")
    with made.supervisor() as supervisor:
        supervisor.wait_child("tick", lambda child: child["state"] == "backoff")
        (range_,) = eventually(lambda: [found for found in records(made) if found["slots"] > 2])
        assert [range_[key] for key in ("state", "reason", "kind")] == ["missed", "down", "schedule"]
        made.write("mine.py", "def tick(): pass\n")
        assert supervisor.cli("restart", "tick").returncode == 0
        written = eventually(lambda: [found for found in records(made) if found["state"] == "ok"] and records(made))
    assert written[0]["slot"] == range_["slot"], "the next process writes down what was shown"
    assert written[0]["state"] == "missed"
    assert written[0]["slots"] >= range_["slots"] - 1, "the last of them may be caught up"


def test_slots_of_a_disabled_task_are_skipped_and_only_they_are_asked_for(project: Make) -> None:
    made = project(FAST + TASK, "def tick(): pass\n")
    with made.supervisor() as supervisor:
        supervisor.wait_child("tick", lambda child: child.get("last_run", {}).get("state") == "ok")
        assert supervisor.cli("disable", "tick").returncode == 0
        supervisor.wait_child("tick", lambda child: child["state"] == "stopped")
        skipped = eventually(lambda: [f for f in records(made, "--missed") if f["reason"] == "disabled"])
        eventually(lambda: records(made, "--missed")[-1]["slots"] > 3)
        assert skipped[0]["state"] == "skipped"
        assert {found["state"] for found in records(made, "--missed")} <= {"skipped", "missed"}
        told = supervisor.cli("history", "tick", "--missed").stdout
        assert " slots)" in told
        assert "disabled" in told
        assert "ok" in {found["state"] for found in records(made)}


def test_slots_of_a_task_that_config_toml_switched_off_are_skipped_too(project: Make) -> None:
    made = project(FAST + TASK, "def tick(): pass\n")
    with made.supervisor() as supervisor:
        supervisor.wait_child("tick", lambda child: child.get("last_run", {}).get("state") == "ok")
        made.configure(FAST + TASK + "enabled = false\n")
        assert supervisor.cli("reload").returncode == 0
        supervisor.wait_child("tick", lambda child: child["state"] == "stopped")
        eventually(lambda: [f for f in records(made, "--missed") if f["reason"] == "disabled"])
        assert supervisor.stop() == 0
    assert (made.state / "journal").read_text().count("disabled") == 1
    with made.supervisor() as supervisor:
        supervisor.wait_child("tick", lambda child: child["state"] == "stopped")
    assert (made.state / "journal").read_text().count("disabled") == 1


def test_without_a_schedule_in_the_ledger_it_is_said_that_something_may_lack(project: Make) -> None:
    from supervisor.child.schedule.ledger import Ledger

    made = project(FAST + TASK, "def tick(): pass\n")
    (made.state / "history").mkdir(parents=True)
    ledger = Ledger(str(made.state / "history" / "tick.db"), lambda code, text: None)
    ledger.finish(ledger.begin(1_795_615_200.0, "schedule", attempt=1, lateness=0.0), "ok", duration=0.2)
    ledger.shut()
    done = made.run("history", "tick")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)
    assert done.stderr == ("tick: slots that no process could record are not shown: the history has no schedule yet\n")
