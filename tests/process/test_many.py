"""Many children, many ends: no zombie stays, nothing grows, the loop has its turn for others."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor
from support.system import alive, rss, state

QUICK = FAST.replace('base = "200ms", max = "1s"', 'base = "10ms", max = "10ms"')
CODE = NOTE + "def tick():\n    pass\n"


def tasks(count: int, more: str = "") -> str:
    return "".join(f'\n[tasks.t{n}]\nrun = "mine:tick"\nevery = "1h"\n{more}\n' for n in range(count))


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def zombies(supervisor: Supervisor) -> list[int]:
    children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
    return [int(pid) for pid in children if state(int(pid)) == "Z"]


def statuses(supervisor: Supervisor) -> dict[str, dict[str, Any]]:
    return {child["name"]: child for child in supervisor.status()["children"]}


def kill_all(supervisor: Supervisor) -> list[int]:
    pids = [child["pid"] for child in statuses(supervisor).values()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return pids


def test_thirty_that_die_at_once_are_all_replaced(project: Callable[..., Project]) -> None:
    made = project(config=FAST.replace("jitter = 0.0", "jitter = 0.5") + tasks(30), code=CODE)
    with made.supervisor() as supervisor:
        supervisor.wait_ready(within=120)
        for round_ in range(1, 4):
            dead = kill_all(supervisor)
            eventually(lambda dead=dead: not any(map(alive, dead)), within=30)
            supervisor.status()
            supervisor.wait_ready(within=120)
            eventually(lambda: zombies(supervisor) == [], within=30)
            now = statuses(supervisor)
            assert {child["restarts"] for child in now.values()} == {round_}
            assert not set(dead) & {child["pid"] for child in now.values()}
            assert {child["last_exit"]["signal"] for child in now.values()} == {signal.SIGKILL}
        waits = [line for line in supervisor.stderr.splitlines() if "restart 3 in" in line]
        assert len(waits) == 30
        assert len({line[line.index("restart 3 in") :] for line in waits}) > 5, "spread, not all together"
        assert supervisor.stop(60) == 0, supervisor.stderr


def test_a_hundred_children_start_and_end(project: Callable[..., Project]) -> None:
    made = project(config=FAST.replace("2s", "30s") + tasks(100), code=CODE)
    with made.supervisor() as supervisor:
        supervisor.wait_ready(within=150)
        assert len({child["pid"] for child in statuses(supervisor).values()}) == 100
        assert threads(supervisor.pid) == 1
        assert supervisor.stop(60) == 0, supervisor.stderr


def test_two_hundred_restarts_leave_the_supervisor_as_it_was(project: Callable[..., Project]) -> None:
    """Descriptors and threads exactly, memory within what a page more or less comes to."""
    made = project(config=QUICK + tasks(5), code=CODE)
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        for _ in range(8):
            again(supervisor)
        before = figures(supervisor)
        for _ in range(40):
            again(supervisor)
        after = figures(supervisor)
        assert after[:2] == before[:2], "descriptors and threads"
        assert after[2] - before[2] < 2 * 2**20, "bytes of memory"
        assert zombies(supervisor) == []
        assert sum(child["starts"] for child in statuses(supervisor).values()) == 5 * 49
        assert supervisor.stop() == 0, supervisor.stderr


def again(supervisor: Supervisor) -> None:
    dead = set(kill_all(supervisor))

    def replaced() -> bool:
        children = statuses(supervisor).values()
        return all(child["ready"] and child["pid"] not in dead for child in children)

    eventually(replaced, within=60)


def figures(supervisor: Supervisor) -> tuple[int, int, int]:
    """Descriptors (a client's connection apart, it may be closing), threads, resident bytes."""
    return len(held(supervisor.pid)), threads(supervisor.pid), rss(supervisor.pid)


def held(pid: int) -> list[str]:
    links = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            pass  # closed meanwhile
    return [link for link in links if not link.startswith("socket:")]


def test_thirty_helpers_leave_it_as_it_was_too(project: Callable[..., Project]) -> None:
    made = project(config=FAST + tasks(1), code=CODE)
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        for _ in range(3):
            supervisor.request("POST", "/v1/reload", {})
        before = figures(supervisor)
        for _ in range(30):
            assert supervisor.request("POST", "/v1/reload", {})[0] == 200
        assert figures(supervisor)[:2] == before[:2]
        assert zombies(supervisor) == []


def test_a_stop_in_the_middle_of_a_crash_loop_starts_nothing_more(project: Callable[..., Project]) -> None:
    made = project(config=QUICK + tasks(5), code=NOTE + "note('starts', os.getpid())\nos._exit(3)\n")
    with made.supervisor() as supervisor:
        eventually(lambda: len(made.lines("starts")) > 20, within=60)
        assert supervisor.stop() == 0, supervisor.stderr
        started = len(made.lines("starts"))
        assert not any(alive(int(pid)) for pid in made.lines("starts"))
        time.sleep(0.5)  # nothing more may come
        assert len(made.lines("starts")) == started


def test_status_is_answered_while_everything_crashes(project: Callable[..., Project]) -> None:
    made = project(config=QUICK + tasks(10), code=NOTE + "note('starts')\nraise RuntimeError('no')\n")
    with made.supervisor() as supervisor:
        eventually(lambda: len(made.lines("starts")) > 20, within=60)
        slowest = 0.0
        for _ in range(50):
            begun = time.monotonic()
            children = statuses(supervisor)
            slowest = max(slowest, time.monotonic() - begun)
        assert slowest < 10, "seconds; a loaded machine, but never a loop that is busy with itself alone"
        eventually(lambda: all(child["restarts"] > 3 for child in statuses(supervisor).values()), within=60)
        assert all("RuntimeError: no" in child["reason"] for child in children.values() if child["reason"])


# Out of memory, as the kernel ends it.

MEMORY = Path("/sys/fs/cgroup/memory")


def test_a_child_that_the_kernel_kills_for_memory_is_named_so(project: Callable[..., Project]) -> None:
    if os.geteuid() != 0 or not (MEMORY / "cgroup.procs").exists():
        pytest.skip("needs root and the memory controller of cgroup v1")
    group = MEMORY / f"forkwarden-test-{os.getpid()}"
    group.mkdir()
    code = (
        NOTE
        + "def tick():\n"
        + "    note('runs')\n"
        + "    hog = []\n"
        + "    while len(open(os.path.join(HERE, 'runs')).readlines()) == 1:\n"
        + "        hog.append(bytearray(1 << 20))\n"
    )
    made = project(config=FAST + tasks(1, "run_on_start = true"), code=code)
    try:
        (group / "memory.limit_in_bytes").write_text(str(200 << 20))
        prefix = ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"]
        with Supervisor(made.config, prefix=prefix) as supervisor:
            child = supervisor.wait_child("t0", lambda child: child["last_exit"], within=90)
            assert child["last_exit"]["cause"] == "oom", child
            assert child["last_exit"]["reason"] == "killed by the kernel: out of memory"
            child = supervisor.wait_child("t0", lambda child: child["ready"] and child["starts"] == 2)
            os.kill(child["pid"], signal.SIGKILL)
            child = supervisor.wait_child("t0", lambda child: child["starts"] == 3)
            assert child["last_exit"]["cause"] == "crash", "a kill by hand is none for memory"
            assert supervisor.stop() == 0, supervisor.stderr
    finally:
        eventually(lambda: not (group / "cgroup.procs").read_text().split(), within=30)
        group.rmdir()


def test_children_are_the_first_to_go_when_memory_runs_out(project: Callable[..., Project]) -> None:
    made = project(config=FAST + tasks(1), code=CODE)
    with made.supervisor() as supervisor:
        child = supervisor.pid_of("t0")
        scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (supervisor.pid, child)]
        assert scores[1] > scores[0]


def test_nothing_is_limited_that_was_not_limited_before(project: Callable[..., Project]) -> None:
    """Children have the limits that the supervisor was started with."""
    made = project(config=FAST + tasks(1), code=CODE)
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("t0")
        for what in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_NPROC, resource.RLIMIT_AS):
            assert resource.prlimit(pid, what) == resource.getrlimit(what)
