"""From nothing to a project that starts: init, add, check, config, enable --save, history, completion, start."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.child.schedule.ledger import Ledger
from support.project import Project
from support.stand_in import StandIn

CONFIG = """\
# the truth
[tasks.task1]
enabled = true  # for now
run = "mine:tick"
every = "5m"
args = { password = "canary" }
"""


@pytest.fixture
def own(project: Callable[..., Project]) -> Project:
    return project(CONFIG, "def tick(password): pass\n")


def command(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "supervisor", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_init_makes_a_project_that_checks_and_whose_tests_pass(tmp_path: Path) -> None:
    made = command(tmp_path, "init", "mine")
    assert made.returncode == 0
    assert "next: cd mine && supervisor start" in made.stderr
    folder = tmp_path / "mine"
    check = command(folder, "check")
    assert (check.returncode, check.stdout) == (0, "config.toml ok: 1 consumer, 1 task\n"), check.stderr
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert tests.returncode == 0, tests.stdout
    app = subprocess.run([sys.executable, "-c", "import app"], cwd=folder, capture_output=True, text=True, check=False)
    assert app.returncode == 0, app.stderr


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("mine")
    done = command(tmp_path, "init")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: ./config.toml is there already; nothing was written\n"
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]
    assert (tmp_path / "config.toml").read_text() == "mine"


def test_add_appends_a_section_and_leaves_the_rest_as_it_was(own: Project) -> None:
    own.configure("# mine\n[tasks.task1]\nrun = 'mine:tick'  # keep\nevery = '5m'\nargs = { password = 'x' }")
    before = own.config.read_text()
    for kind, name in (("task", "pay-bills"), ("consumer", "orders")):
        done = own.run("add", kind, name)
        assert done.returncode == 0, done.stderr
    assert own.config.read_text().startswith(before)
    check = own.run("check")
    assert (check.returncode, check.stdout) == (0, "config.toml ok: 1 consumer, 2 tasks\n"), check.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["task", "Bad Name"], "'Bad Name' is no name"),
        (["task", "web"], "'web' is no name for it: a child or a log of the supervisor's own has this name"),
        (["task", "class"], "'class' is no name for it: Python has this word"),
        (["task", "task1"], "config.toml has 'task1' already"),
        (["consumer", "task1"], "config.toml has 'task1' already"),
    ],
)
def test_add_refuses_what_would_not_work(own: Project, arguments: list[str], said: str) -> None:
    before = own.config.read_text()
    done = own.run("add", *arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert own.config.read_text() == before


def test_check_tells_all_errors_at_once_on_stderr(own: Project) -> None:
    own.configure('[tasks.a]\nrun = "mine:tick"\nevery = "5x"\n[tasks.b]\nrun = "mine:tick"\nevry = "5m"\n')
    done = own.run("check")
    assert (done.returncode, done.stdout) == (2, "")
    assert "config.toml:3: tasks.a.every" in done.stderr
    assert "config.toml:6: tasks.b.evry" in done.stderr
    assert 'did you mean "every"?' in done.stderr


def test_config_show_can_be_checked_again_and_hides_secrets(own: Project) -> None:
    shown = own.run("config", "show")
    as_json = own.run("config", "show", "--json")
    assert "canary" not in shown.stdout + as_json.stdout
    assert json.loads(as_json.stdout)["children"][0]["name"] == "task1"
    own.configure(shown.stdout)
    assert own.run("check").returncode == 0


def test_the_schema_is_json(own: Project) -> None:
    assert json.loads(own.run("config", "schema").stdout)["title"] == "config.toml"


def test_save_writes_the_toggle_and_keeps_comments_and_rights(own: Project) -> None:
    own.config.chmod(0o640)
    done = own.run("disable", "task1", "--save")
    assert (done.returncode, done.stdout) == (0, "task1: disabled in config.toml\n")
    assert "from the next start on" in done.stderr
    assert own.config.read_text() == CONFIG.replace("enabled = true ", "enabled = false ")
    assert stat.S_IMODE(own.config.stat().st_mode) == 0o640
    assert own.run("enable", "task1", "--save").returncode == 0
    assert own.config.read_text() == CONFIG


def test_save_has_a_running_supervisor_read_the_file(own: Project) -> None:
    with StandIn(own.state, lambda method, path, body: (200, {"applied": True, "plan": []})) as stand_in:
        assert own.run("disable", "task1", "--save").returncode == 0
    assert stand_in.asked == [("POST", "/v1/reload", {"dry_run": False})]


def test_save_follows_a_link_to_the_file(own: Project) -> None:
    real = own.folder / "real.toml"
    own.config.rename(real)
    own.config.symlink_to(real.name)
    assert own.run("disable", "task1", "--save").returncode == 0
    assert own.config.is_symlink()
    assert tomllib.loads(real.read_text())["tasks"]["task1"]["enabled"] is False


def test_save_of_an_unknown_name_changes_nothing(own: Project) -> None:
    done = own.run("disable", "tsk1", "--save")
    assert done.returncode == 4
    assert "task1" in done.stderr
    assert own.config.read_text() == CONFIG


def test_history_reads_the_ledger_without_a_supervisor(own: Project) -> None:
    none = own.run("history", "task1")
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "task1 has no run yet\n")
    (own.state / "history").mkdir(parents=True)
    ledger = Ledger(str(own.state / "history" / "task1.db"), lambda code, text: None)
    ledger.finish(ledger.begin(1_795_615_200.0, "schedule", attempt=1, lateness=0.01), "ok", duration=0.21)
    row = ledger.begin(1_795_615_500.0, "schedule", attempt=2, lateness=0.02)
    ledger.finish(row, "failed", duration=0.03, error="Traceback\nValueError: \x1b[31mred")
    ledger.shut()
    told = own.run("history", "task1")
    assert told.returncode == 0
    assert [text.split()[2:5] for text in told.stdout.splitlines()[1:]] == [
        ["schedule", "✓", "ok"],
        ["schedule", "✗", "failed"],
    ]
    assert told.stdout.endswith("ValueError: \\x1b[31mred\n")
    records = json.loads(own.run("history", "task1", "--json", "-n", "1").stdout)
    assert [(record["task"], record["state"], record["attempt"]) for record in records] == [("task1", "failed", 2)]


def test_history_of_what_has_none_says_why(own: Project) -> None:
    done = own.run("history", "tsk1")
    assert (done.returncode, done.stderr) == (4, "error: there is no task 'tsk1'; did you mean 'task1'?\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(own: Project, shell: str) -> None:
    done = own.run("completion", shell)
    assert done.returncode == 0
    assert "_SUPERVISOR_COMPLETE" in done.stdout


def test_completion_knows_verbs_and_names(own: Project) -> None:
    def completed(words: str, at: int) -> list[str]:
        done = command(own.folder, _SUPERVISOR_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(at))
        return [text.partition(",")[2] for text in done.stdout.splitlines()]

    assert completed("supervisor st", 1) == ["start", "stop", "status", "stack"]
    assert completed("supervisor restart t", 2) == ["task1"]


def test_start_refuses_a_broken_config_before_anything_is_made(own: Project) -> None:
    own.configure("[tasks.a]\nevry = 1\n")
    done = own.run("start")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing was started" in done.stderr
    assert not own.state.exists()


def test_start_refuses_to_run_beside_supervisord(own: Project, tmp_path: Path) -> None:
    about = tmp_path / "other" / "supervisor-4.3.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: supervisor\nVersion: 4.3.0\n")
    done = command(own.folder, "start", PYTHONPATH=str(about.parent))
    assert done.returncode == 1
    assert "Supervisord 4.3.0 is installed here" in done.stderr


def test_start_becomes_the_parent_and_hands_it_the_plan_through_a_pipe(own: Project) -> None:
    """The program that is exec'd is replaced by one that tells what it was given; the exec itself is real."""
    told = own.write("told.sh", '#!/bin/sh\necho "$$ $*"\nenv\ncat <&"$FORKWARDEN_PLAN_FD"\n')
    told.chmod(0o755)
    code = f"""
import sys
from supervisor import cli
sys.executable = {str(told)!r}
cli.execute(["start", "--dev", "--log-format", "json"])
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=own.folder, stdout=subprocess.PIPE, text=True) as process:
        said = process.communicate(timeout=60)[0].splitlines()
    assert said[0] == f"{process.pid} -P -m supervisor.parent"  # the same pid: systemd and containers keep it
    env = dict(text.split("=", 1) for text in said[1:-1] if "=" in text)
    assert env["SPT_NOENV"] == "1"
    assert len(bytes.fromhex(env["FORKWARDEN_RUN_ID"])) == 16
    plan = json.loads(said[-1])
    assert plan["supervisor"]["reload_code"] is True
    assert plan["supervisor"]["log_format"] == "json"
    assert [child["name"] for child in plan["children"]] == ["task1"]
