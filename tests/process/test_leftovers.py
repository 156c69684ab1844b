"""Descendants that nobody waits for, in the real supervisor: of children, of helpers, of strangers that cannot die."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.system import alive, state

CONFIG = (
    FAST
    + """
[tasks.one]
run = "mine:tick"
every = "1h"
run_on_start = true
"""
)
# A daemon with an empty environment, no descriptor, and a deaf ear.
AWAY = (
    NOTE
    + """
def away():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            note("away", os.getpid())
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.closerange(0, 1000)
            os.execve("/bin/sleep", ["sleep", "600"], {})
        os._exit(0)
    os.wait()

"""
)
AT_RUN = AWAY + "def tick():\n    away()\n    away()\n    note('runs', os.getpid())\n"
AT_IMPORT = AWAY + "away()\ndef tick():\n    note('runs', os.getpid())\n"


def pids(made: Project, name: str = "away") -> list[int]:
    return [int(line) for line in made.lines(name)]


def living(made: Project) -> list[int]:
    return [pid for pid in pids(made) if alive(pid)]


def zombies_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if state(int(child)) == "Z"]


def test_a_crash_takes_daemons_without_any_name_along_before_the_next_copy(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code=AT_RUN)
    with made.supervisor() as supervisor:
        for times in range(1, 4):
            eventually(lambda times=times: len(pids(made, "runs")) == times and len(pids(made)) == 2 * times, within=30)
            assert len(living(made)) == 2
            os.kill(supervisor.pid_of("one"), signal.SIGKILL)
        eventually(lambda: len(pids(made, "runs")) == 4 and len(pids(made)) == 8, within=30)
        assert len(living(made)) == 2
        eventually(lambda: zombies_of(supervisor.pid) == [], within=30)
        assert supervisor.stop() == 0, supervisor.stderr
        assert living(made) == []


def test_a_restart_that_was_asked_for_takes_them_along_too(project: Callable[..., Project]) -> None:
    made = project(config=CONFIG, code=AT_RUN)
    with made.supervisor() as supervisor:
        eventually(lambda: len(pids(made, "runs")) == 1, within=30)
        first = living(made)
        assert supervisor.cli("restart", "one").returncode == 0
        eventually(lambda: len(pids(made, "runs")) == 2, within=30)
        assert not any(map(alive, first))
        assert supervisor.child("one")["restarts"] == 0
        assert supervisor.stop() == 0, supervisor.stderr
        assert living(made) == []


def test_what_a_check_of_the_configuration_left_ends_with_it(project: Callable[..., Project]) -> None:
    """A check imports user code in a helper; the supervisor does not keep what that started."""
    made = project(config=CONFIG, code=AT_IMPORT)
    with made.supervisor() as supervisor:
        eventually(lambda: pids(made, "runs"), within=30)
        code, body = supervisor.request("POST", "/v1/reload", {})
        assert (code, body["problems"]) == (200, [])
        assert len(pids(made)) > 1, "the check imported it too"
        eventually(lambda: len(living(made)) == 1, within=30, what="the child's own is left")
        eventually(lambda: zombies_of(supervisor.pid) == [], within=30)
        assert supervisor.child("one")["restarts"] == 0
        assert supervisor.stop() == 0, supervisor.stderr
        assert living(made) == []


# What SIGKILL does not end: a frozen cgroup stands for a process in the kernel's hands (state D).

FREEZER = Path("/sys/fs/cgroup/freezer")


@pytest.fixture
def frozen() -> Iterator[Callable[[int], None]]:
    """Freeze a process so that no signal reaches it; thawed at the end of the test."""
    if os.geteuid() != 0 or not (FREEZER / "cgroup.procs").exists():
        pytest.skip("needs root and the freezer of cgroup v1")
    group = FREEZER / f"forkwarden-test-{os.getpid()}"
    group.mkdir()

    def freeze(pid: int) -> None:
        (group / "cgroup.procs").write_text(str(pid))
        (group / "freezer.state").write_text("FROZEN")
        eventually(lambda: (group / "freezer.state").read_text().strip() == "FROZEN", within=30)

    try:
        yield freeze
    finally:
        (group / "freezer.state").write_text("THAWED")
        eventually(lambda: not (group / "cgroup.procs").read_text().split(), within=30)
        group.rmdir()


def test_a_child_that_cannot_be_killed_gets_no_second_copy(
    project: Callable[..., Project], frozen: Callable[[int], None]
) -> None:
    made = project(
        config=CONFIG.replace("watch = false", 'watch = false\nheartbeat = { interval = "200ms", timeout = "2s" }')
        + '\n[tasks.two]\nrun = "mine:tick"\nevery = "1h"\n',
        code=AT_RUN,
    )
    with made.supervisor() as supervisor:
        two, one = supervisor.pid_of("two"), supervisor.pid_of("one")
        frozen(one)
        supervisor.wait_child("one", lambda child: "cannot be killed" in (child["reason"] or ""), within=90)
        assert supervisor.child("one")["pid"] == one
        assert supervisor.child("one")["starts"] == 1
        assert supervisor.pid_of("two") == two
        assert f"{one} is in the kernel's hands" in supervisor.stderr
        begun = time.monotonic()
        assert supervisor.stop(60) == 1
        assert time.monotonic() - begun < 30, "it waits for nobody who cannot come"
        assert f"left behind, cannot be killed: one (pid {one})" in supervisor.stderr


def test_a_daemon_that_cannot_be_killed_keeps_its_child_down_and_no_stop_up(
    project: Callable[..., Project], frozen: Callable[[int], None]
) -> None:
    made = project(config=CONFIG, code=AT_RUN)
    with made.supervisor() as supervisor:
        eventually(lambda: pids(made, "runs"), within=30)
        daemon = living(made)[0]
        frozen(daemon)
        os.kill(supervisor.pid_of("one"), signal.SIGKILL)
        supervisor.wait_child("one", lambda child: child["state"] == "starting" and child["pid"] is None)
        assert supervisor.child("one")["starts"] == 1
        begun = time.monotonic()
        assert supervisor.stop(60) == 1
        assert time.monotonic() - begun < 30
        assert f"left behind, cannot be killed: pid {daemon} (left by one)" in supervisor.stderr


def test_what_a_helper_left_and_cannot_be_killed_keeps_no_stop_up(
    project: Callable[..., Project], frozen: Callable[[int], None]
) -> None:
    made = project(
        config=CONFIG, code=AT_IMPORT + "if 'check' in os.listdir(HERE):\n    note('checked')\n    time.sleep(8)\n"
    )
    with made.supervisor() as supervisor:
        eventually(lambda: pids(made, "runs"), within=30)
        mine = living(made)
        made.write("check", "")
        supervisor.process.send_signal(signal.SIGHUP)
        (left,) = eventually(lambda: [pid for pid in living(made) if pid not in mine], within=30)
        frozen(left)
        eventually(lambda: parent_of(left) == supervisor.pid, within=60)
        begun = time.monotonic()
        assert supervisor.stop(60) == 1
        assert time.monotonic() - begun < 30
        assert f"left behind, cannot be killed: pid {left} (left by a helper)" in supervisor.stderr


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
