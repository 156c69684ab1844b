"""The machine refuses: no descriptors, no processes, no room on the disk. Supervision goes on, and recovers."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.disk import fill, kept_full, of_its_own
from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import NotAnswering, Supervisor
from support.system import alive, descriptors

TASKS = """
[tasks.one]
run = "mine:tick"
every = "200ms"

[tasks.two]
run = "mine:tick"
every = "1h"
"""
CODE = NOTE + "def tick():\n    note('runs', os.getpid())\n"


@pytest.fixture
def made(project: Callable[..., Project]) -> Project:
    return project(config=FAST + TASKS, code=CODE)


def no_descriptors(supervisor: Supervisor, *, spare: int = 0) -> tuple[int, int]:
    """Take the supervisor's descriptors away, all but those it has. Returns the limits as they were."""
    before = resource.prlimit(supervisor.pid, resource.RLIMIT_NOFILE)
    highest = max(int(fd) for fd in os.listdir(f"/proc/{supervisor.pid}/fd"))
    resource.prlimit(supervisor.pid, resource.RLIMIT_NOFILE, (highest + 1 + spare, before[1]))
    return before


def give_back(supervisor: Supervisor, limits: tuple[int, int]) -> None:
    resource.prlimit(supervisor.pid, resource.RLIMIT_NOFILE, limits)


def answers(supervisor: Supervisor) -> bool:
    try:
        return bool(supervisor.status())
    except NotAnswering:
        return False


@pytest.mark.parametrize("spare", [0, 1, 3, 6, 9])
def test_without_descriptors_it_lives_on_and_replaces_the_dead_when_it_has_some(made: Project, spare: int) -> None:
    with made.supervisor() as supervisor:
        one, two = supervisor.pid_of("one"), supervisor.pid_of("two")
        limits = no_descriptors(supervisor, spare=spare)
        os.kill(one, signal.SIGKILL)
        for pid in guards(supervisor):
            os.kill(pid, signal.SIGKILL)
        supervisor.process.send_signal(signal.SIGHUP)
        for _ in range(10):
            answers(supervisor)
            time.sleep(0.3)  # three seconds of it: each look, each retry
        assert supervisor.running, supervisor.stderr
        assert alive(two)
        give_back(supervisor, limits)
        assert supervisor.wait_child("one", lambda child: child["ready"] and child["pid"] != one, within=60)
        assert supervisor.pid_of("two") == two
        eventually(lambda: len(guards(supervisor)) == 1, within=30)
        assert supervisor.stop() == 0, supervisor.stderr
        assert "Traceback" not in supervisor.stderr


def guards(supervisor: Supervisor) -> list[int]:
    children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"guard" in cmdline(pid)]


def cmdline(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_without_descriptors_it_can_still_be_stopped(made: Project) -> None:
    with made.supervisor() as supervisor:
        pids = [supervisor.pid_of(name) for name in ("one", "two")]
        no_descriptors(supervisor)
        assert supervisor.stop() == 0, supervisor.stderr
        assert not any(map(alive, pids))


@pytest.fixture
def few_processes() -> Iterator[Callable[[Supervisor], Callable[[int | str], None]]]:
    """Put a supervisor in a cgroup whose number of processes can be limited; root is not exempt from it."""
    parent = Path("/sys/fs/cgroup/pids")
    if os.geteuid() != 0 or not (parent / "cgroup.procs").exists():
        pytest.skip("needs root and the pids controller of cgroup v1")
    group = parent / f"forkwarden-test-{os.getpid()}"
    group.mkdir()

    def enter(supervisor: Supervisor) -> Callable[[int | str], None]:
        (group / "cgroup.procs").write_text(str(supervisor.pid))
        return lambda most: (group / "pids.max").write_text(str(most)) and None

    try:
        yield enter
    finally:
        eventually(lambda: not (group / "cgroup.procs").read_text().split(), within=30)
        group.rmdir()


def test_a_machine_that_refuses_to_fork_is_asked_again_for_ever(
    made: Project, few_processes: Callable[[Supervisor], Callable[[int | str], None]]
) -> None:
    """The machine's trouble is no failure of the child: it is not counted, and no crash loop."""
    with made.supervisor() as supervisor:
        one = supervisor.pid_of("one")
        allow = few_processes(supervisor)
        allow(1)
        os.kill(one, signal.SIGKILL)
        child = supervisor.wait_child("one", lambda child: "could not be forked" in (child["reason"] or ""))
        assert "Resource temporarily unavailable" in child["reason"]
        assert child["state"] == "backoff"
        tries = "could not be forked"
        eventually(lambda: supervisor.stderr.count(tries) >= 4, within=60, what="again and again, at the cap")
        child = supervisor.child("one")
        assert child["restarts"] == 1, "the SIGKILL alone counts"
        open_now = descriptors(supervisor.pid)
        eventually(lambda: supervisor.stderr.count(tries) >= 6, within=60)
        assert descriptors(supervisor.pid) <= open_now + 1, "a refused fork leaves nothing open"
        allow("max")
        supervisor.wait_child("one", lambda child: child["ready"])
        assert supervisor.stop() == 0, supervisor.stderr


@pytest.fixture
def small_disk(project: Callable[..., Project]) -> Iterator[Project]:
    """A project whose state folder lies on a file system of 512 KiB of its own."""
    made = project(config=FAST + TASKS, code=CODE)
    with of_its_own(made.state):
        yield made


def test_a_full_disk_costs_lines_and_is_said_and_recovers_by_itself(small_disk: Project) -> None:
    with small_disk.supervisor() as supervisor:
        supervisor.wait_ready()
        two = supervisor.pid_of("two")
        with kept_full(small_disk.state) as ballast:
            notes = itertools.count()  # what another gives back may be had before it is taken again

            def refused() -> str:
                asked = {"note": f"no room, {next(notes)}"}
                code, body = supervisor.request("POST", "/v1/children/two/disable", asked)
                return str(body["error"]) if code == 500 else ""

            assert "two is off now, but that could not be saved" in eventually(refused, within=30)
            supervisor.wait_child("two", lambda child: child["state"] == "stopped")
        assert not alive(two)
        eventually(lambda: "not saved" in str(supervisor.status()["supervisor"]["notes"]), within=30)
        os.kill(supervisor.pid_of("one"), signal.SIGKILL)
        supervisor.wait_child("one", lambda child: child["pid"])
        noise = len(supervisor.stderr)
        time.sleep(2)  # nothing is waited for: it must not make more and more noise
        assert len(supervisor.stderr) - noise < 20_000
        ballast.unlink()
        eventually(lambda: supervisor.status()["supervisor"]["notes"] == [], within=60)
        supervisor.wait_child("one", lambda child: child["ready"], within=60)
        assert "two" in (small_disk.state / "toggles.json").read_text()
        assert supervisor.stop() == 0, supervisor.stderr
        assert "Traceback" not in supervisor.stderr


def test_a_disk_that_is_full_at_the_end_keeps_no_stop_up(small_disk: Project) -> None:
    with small_disk.supervisor() as supervisor:
        supervisor.wait_ready()
        with kept_full(small_disk.state):
            supervisor.request("POST", "/v1/children/two/disable", {})
            assert supervisor.stop() == 0, supervisor.stderr
        assert "Traceback" not in supervisor.stderr
        assert "toggles are not saved" in supervisor.stderr


def test_a_disk_that_is_full_at_the_start_is_no_reason_not_to_start(small_disk: Project) -> None:
    fill(small_disk.state)
    with small_disk.supervisor() as supervisor:
        supervisor.wait_ready()
        assert "No space left on device" in str(supervisor.status()["supervisor"]["notes"])
        supervisor.wait_child("one", lambda child: child.get("last_run", {}).get("state") == "ok")
        (small_disk.state / "ballast").unlink()
        os.kill(supervisor.pid_of("two"), signal.SIGKILL)  # something to write down
        eventually(lambda: supervisor.status()["supervisor"]["notes"] == [], within=60)
        assert supervisor.stop() == 0, supervisor.stderr
