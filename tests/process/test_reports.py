"""No death goes unexplained: what is kept of each, what is left out of it, and how it reads."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.cli.crash_report import lines
from supervisor.core.lifecycle.child import Child
from supervisor.core.lifecycle.exits import LastExit
from supervisor.core.spec import ChildSpec, Policy, TaskSettings
from supervisor.core.wire.messages import Beat
from supervisor.core.wire.page import Doing
from supervisor.parent import crashes
from supervisor.parent.known import CURVE, Curve, Known
from supervisor.parent.snapshot import Moment
from support.project import FAST, NOTE, Project

CANARY = "hunter2canary"
CONFIG = (
    FAST
    + """
heartbeat = { interval = "100ms", timeout = "2s" }

[tasks.one]
run = "mine:tick"
every = "1h"
run_on_start = true
timeout = "1s"
kill_after = "1s"
"""
)
HEAD = NOTE + "\nimport ctypes\nimport logging\n\nlog = logging.getLogger(__name__)\n"
FIRST = """
def tick():
    note("runs")
    if len(open(os.path.join(HERE, "runs")).readlines()) == 1:
        log.warning("about to \\x1b[31m fail")
        fail()
"""
# What the first run does; the cause, and what must stand in the report.
DEATHS = {
    "an exit": ("def fail():\n    os._exit(3)\n", "crash", ["exited with 3", "running"]),
    "a segfault": ("def fail():\n    ctypes.string_at(0)\n", "crash", ["SIGSEGV", "signal 11", "in fail"]),
    "an endless run": (
        "def fail():\n    while True:\n        try:\n            time.sleep(9)\n        except BaseException:\n"
        "            pass\n",
        "timed_out",
        ["timed out: running", "in fail"],
    ),
    "a stop": ("def fail():\n    os.kill(os.getpid(), signal.SIGSTOP)\n", "hung", ["no heartbeat for"]),
}


@pytest.mark.parametrize("kind", DEATHS)
def test_a_death_is_kept_and_read_when_nothing_runs_any_more(project: Callable[..., Project], kind: str) -> None:
    body, cause, told = DEATHS[kind]
    made = project(config=CONFIG, code=HEAD + FIRST + body)
    secrets = {"DATABASE_URL": f"postgresql://app:{CANARY}@db/app", "STRIPE_KEY": CANARY, "HARMLESS": "to be seen"}
    with made.supervisor(**secrets) as supervisor:
        supervisor.wait_child("one", lambda child: child["starts"] == 2 and child["ready"], within=60)
        supervisor.stop()
    shown = made.run("report", "one")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("one died ")
    for text in (*told, "about to \\x1b[31m fail", "config.toml:", "[tasks.one]  mine:tick", "HARMLESS=to be seen"):
        assert text in shown.stdout, shown.stdout
    if "in fail" in told:
        assert "guilty       mine.py:" in shown.stdout
    assert "\x1b" not in shown.stdout
    (found,) = json.loads(made.run("report", "one", "--list", "--json").stdout)
    assert (found["cause"], found["phase"]) == (cause, "running")
    assert found["curve"]
    assert found["lived"] > 0
    assert found["failures"]["in_row"] == (0 if cause == "timed_out" else 1)
    kept = "".join(path.read_text() for path in (made.state / "crashes").iterdir())
    assert CANARY not in kept + shown.stdout


def test_an_import_error_is_kept_and_a_wanted_end_is_not(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code="import nowhere_at_all\n")
    with made.supervisor() as supervisor:
        supervisor.wait_child("one", lambda child: child["state"] == "fatal")
        made.write("mine.py", "def tick():\n    pass\n")
        supervisor.cli("restart", "one")
        supervisor.pid_of("one")
        supervisor.cli("restart", "one", "--now")
    told = made.run("report", "one", "--list").stdout.splitlines()
    assert len(told) == 2
    assert "config" in told[1]
    assert "nowhere_at_all" in told[1]


def test_without_a_report_it_says_whether_the_child_exists(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code="def tick():\n    pass\n")
    told = made.run("report", "one")
    assert (told.returncode, told.stdout) == (0, "")
    assert "it never died unasked" in told.stderr
    unknown = made.run("report", "onne")
    assert unknown.returncode == 4
    assert "did you mean 'one'?" in unknown.stderr


@pytest.mark.parametrize("content", ["", "{", "[1]", "[" * 100_000, "\x00"], ids=["empty", "cut", "list", "deep", "0"])
def test_a_report_that_cannot_be_read_is_named(project: Callable[..., Project], content: str) -> None:
    made = project(config=CONFIG, code="def tick():\n    pass\n")
    folder = made.state / "crashes"
    folder.mkdir(parents=True)
    (folder / "one-1.000.json").write_text(content)
    told = made.run("report", "one")
    assert told.returncode == 1
    assert "one-1.000.json: expected a report" in told.stderr
    assert "remove it" in told.stderr
    assert "too many" not in made.run("report", "one", "-n", "2").stderr


def _report(tmp_path: Path, **known: Any) -> dict[str, Any]:
    spec = ChildSpec(name="a", group="a", kind="task", enabled=True, policy=Policy(), settings=TaskSettings(run="m:f"))
    last = LastExit(cause="crash", reason="killed by SIGKILL", phase="running", signal=9, at=1000.0)
    child = Child("a", Policy(), lambda: 0.5)
    log, at = str(tmp_path / "a.log"), Moment(100.0, 1000.0)
    return crashes.report(child, spec, Known(**known), last, pid=7, log=log, env={}, at=at)


def test_it_is_bounded_whatever_the_child_wrote(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("x" * 5_000_000 + "\n" + "line\n" * 100)
    known = Known()
    for number in range(10_000):
        known.heard(Beat(number, 1.0, 0), float(number))
    found = _report(tmp_path, curve=known.curve, stacks="y" * 70_000)
    assert len(found["log"]) == crashes.LINES
    assert len(found["curve"]) == CURVE
    assert len(json.dumps(found)) < 256 * 1024


def test_what_a_child_says_that_is_no_amount_ends_nothing(tmp_path: Path) -> None:
    known = Known(doing=Doing(1, "running", float("-inf"), None))
    for rss, cpu in ((10**400, 1.0), (-1, float("nan")), (1, float("inf"))):
        known.heard(Beat(rss, cpu, 0), 1.0)
    found = _report(tmp_path, curve=known.curve, doing=known.doing)
    assert [(point["rss"], point["cpu"]) for point in found["curve"]] == [(0, 1.0), (0, 0.0), (1, 0.0)]
    assert json.dumps(found, allow_nan=False)


def test_the_last_lines_go_on_in_the_file_that_was_put_aside(tmp_path: Path) -> None:
    (tmp_path / "a.log.1").write_text("before\n")
    (tmp_path / "a.log").write_text("after\n")
    assert _report(tmp_path)["log"] == ["before", "after"]


@pytest.mark.parametrize("kind", ["none", "a folder", "a fifo", "a link"])
def test_a_log_that_is_none_holds_up_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.log"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a fifo":
        os.mkfifo(path)
    elif kind == "a link":
        (tmp_path / "secret").write_text("secret\n")
        path.symlink_to("secret")
    assert _report(tmp_path)["log"] == []


def test_only_the_latest_are_kept(tmp_path: Path) -> None:
    for number in range(30):
        found = {**_report(tmp_path), "child": "a" if number % 2 else "a:1", "at": 1000.0 + number}
        assert crashes.keep(str(tmp_path), found)
    kept = sorted(name for name in os.listdir(tmp_path) if name.endswith(".json"))
    assert len(kept) == 2 * crashes.KEEP
    assert "a-1029.000.json" in kept
    assert "a-1001.000.json" not in kept


def test_a_full_disk_leaves_no_half_report(tmp_path: Path) -> None:
    assert crashes.keep("/dev/null/nowhere", _report(tmp_path)) is None
    if os.geteuid() == 0:
        assert os.system(f"mount -t tmpfs -o size=16k tmpfs {tmp_path}") == 0
        try:
            assert crashes.keep(str(tmp_path), {**_report(tmp_path), "stacks": "x" * 60_000}) is None
            assert os.listdir(tmp_path) == []
        finally:
            os.system(f"umount {tmp_path}")


def test_the_curves_are_drawn(tmp_path: Path) -> None:
    curve = Curve()
    for n in range(10):
        curve.add(90.0 + n, (n + 1) << 24, n * 0.5)
    doing = Doing(1, "handling", 40.0, 5.0, "orders", 2, 114)
    where = {"phase": "handling", "subject": "orders", "partition": 2, "offset": 114}
    told = lines({**_report(tmp_path, curve=curve, doing=doing), **where}, "/app")
    assert any(text.strip().startswith("memory") and "█  16M → 160M in 9s" in text for text in told)
    assert "  doing        handling orders[2]@114 for 1m, 5s allowed" in told
    assert any(text.strip().startswith("cpu") and "50% → 50% in 9s" in text for text in told)


def test_nothing_of_it_is_a_control() -> None:
    evil = "\x1b[2J\r\n\x9b"
    keys = (
        "child",
        "cause",
        "reason",
        "phase",
        "subject",
        "stacks",
        "pid",
        "code",
        "time",
        "lived",
        "for",
        "curve",
        "budget",
    )
    found: dict[str, Any] = dict.fromkeys(keys, evil)
    found |= {"log": [evil, json.dumps({"time": evil, "text": evil, "traceback": evil})], "environment": {evil: evil}}
    found |= {
        "config": {"where": evil},
        "versions": {evil: evil},
        "failures": {"in_row": evil, "first": evil, "same_error": evil},
    }
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F for c in "".join(lines(found, "/app")))
