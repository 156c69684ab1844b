"""The guard: it outlives the supervisor by a moment and leaves nothing behind; the parent keeps it alive."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from supervisor.forked import adopt_orphans
from supervisor.helper.guard import RUN_ID, bearers, bears, sweep
from supervisor.parent.guarding import Guarding
from supervisor.parent.poller import Lane, Poller
from support.alone import alone
from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor
from support.system import alive, of_this_session, state, title

CONFIG = (
    FAST
    + """
[tasks.one]
run = "mine:tick"
every = "1h"
run_on_start = true
"""
)
# A tree: in the group, in sessions of their own, daemons, deaf ones, one stopped, one that forks for ever.
CODE = (
    NOTE
    + """
import subprocess


def begin(command, **how):
    note("tree", subprocess.Popen(["sh", "-c", command], **how).pid)


def tick():
    begin("sleep 600")
    begin("sleep 600 & sleep 600", start_new_session=True)
    begin("trap '' TERM HUP; sleep 600", start_new_session=True)
    begin("kill -STOP $$; sleep 600", start_new_session=True)
    begin("exec >/dev/null 2>&1; while :; do sleep 0.05 & sleep 0.02; done", start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        os.closerange(0, 1000)
        if os.fork() == 0:
            note("tree", os.getpid())
            time.sleep(600)
        os._exit(0)
    os.wait()
    note("runs", os.getpid())
"""
)


# Read by Python itself at its start: a supervisor that is killed when it begins to sweep.
NO_SWEEP = """
import os

if "FORKWARDEN_PLAN_FD" in os.environ:
    from supervisor.helper import guard

    guard.sweep = lambda run_id: os.kill(os.getpid(), 9)
"""


@pytest.fixture
def tree(project: Callable[..., Project]) -> Project:
    return project(config=CONFIG, code=CODE)


def pids(tree: Project) -> list[int]:
    return [int(line) for name in ("tree", "runs") for line in tree.lines(name)]


def started(tree: Project, supervisor: Supervisor, times: int = 1) -> int:
    """Return the guard's pid, once the whole tree stands."""
    supervisor.wait_ready()
    eventually(lambda: len(pids(tree)) == 7 * times, within=30)
    (guard,) = guards()
    return guard


def guards() -> list[int]:
    return of_this_session("forkwarden: guard")


def killed_with_its_guard(tree: Project, supervisor: Supervisor, guard: int) -> list[int]:
    """Return what lives on: what has a session of its own. Nobody knows of it but its environment."""
    os.kill(supervisor.pid, signal.SIGSTOP)  # so that it cannot fork another guard
    os.kill(guard, signal.SIGKILL)
    supervisor.kill()
    child = int(tree.lines("runs")[-1])
    eventually(lambda: not alive(child), within=30, what="the child itself goes with its parent")
    return [pid for pid in pids(tree) if alive(pid)]


def nothing_is_left() -> bool:
    return of_this_session() == []


def test_kill_9_of_the_supervisor_is_the_end_of_the_whole_tree_and_the_next_start_is_clean(tree: Project) -> None:
    with tree.supervisor() as supervisor:
        for times in range(1, 4):
            started(tree, supervisor, times)
            supervisor.kill()
            eventually(nothing_is_left, within=10, every=0.002, what="the whole tree and the guard are gone")
            supervisor.start()
        started(tree, supervisor, 4)
        assert sum(map(alive, pids(tree))) == 7
        assert supervisor.child("one")["restarts"] == 0
        assert supervisor.stop() == 0, supervisor.stderr


def test_a_guard_that_is_killed_is_replaced_and_works_as_the_first(tree: Project) -> None:
    with tree.supervisor() as supervisor:
        guard = started(tree, supervisor)
        for _ in range(3):
            os.kill(guard, signal.SIGKILL)
            (guard,) = eventually(lambda guard=guard: [pid for pid in guards() if pid != guard], within=30)
        assert supervisor.child("one")["restarts"] == 0
        supervisor.kill()
        eventually(nothing_is_left, within=10, what="the whole tree and the guard are gone")


def test_a_guard_hears_no_polite_signal(tree: Project) -> None:
    """Who ends a machine sends SIGTERM to everybody at once; the guard is needed until the last."""
    with tree.supervisor() as supervisor:
        guard = started(tree, supervisor)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            os.kill(guard, number)
        supervisor.status()
        assert guards() == [guard]


def test_both_killed_and_the_next_start_sweeps_before_it_forks(tree: Project) -> None:
    with tree.supervisor() as supervisor:
        guard = started(tree, supervisor)
        left = killed_with_its_guard(tree, supervisor, guard)
        assert len(left) > 3
        supervisor.start()
        started(tree, supervisor, 2)
        assert not any(map(alive, left))
        assert supervisor.stop() == 0, supervisor.stderr


def test_two_lives_that_were_never_swept_are_both_remembered(tree: Project) -> None:
    """The second life is killed before it sweeps the first: the lock file keeps the run-ids of both."""
    with tree.supervisor() as supervisor:
        guard = started(tree, supervisor)
        first = killed_with_its_guard(tree, supervisor, guard)
        tree.write("plant/sitecustomize.py", NO_SWEEP)
        supervisor.environment["PYTHONPATH"] = str(tree.folder / "plant")
        supervisor.start()
        assert supervisor.wait() == -signal.SIGKILL
        assert all(map(alive, first))
        del supervisor.environment["PYTHONPATH"]
        supervisor.start()
        started(tree, supervisor, 2)
        assert not any(map(alive, first))


def test_a_clean_stop_dismisses_the_guard_and_sweeps_nothing_of_others(tree: Project) -> None:
    with tree.supervisor() as supervisor:
        started(tree, supervisor)
        innocent = subprocess.Popen(["sleep", "600"])
        try:
            assert supervisor.stop() == 0, supervisor.stderr
            assert guards() == []
            assert innocent.poll() is None
        finally:
            innocent.kill()
            innocent.wait()


def test_the_guard_holds_nothing_of_the_supervisors_but_its_lifeline(tree: Project) -> None:
    """A pipe of the supervisor's that it held would never come to its end."""
    with tree.supervisor() as supervisor:
        guard = started(tree, supervisor)
        held = sorted(os.readlink(f"/proc/{guard}/fd/{fd}") for fd in os.listdir(f"/proc/{guard}/fd"))
        assert held[:3] == ["/dev/null"] * 3
        assert [link.split(":")[0] for link in held[3:]] == ["pipe"]
        assert os.getsid(guard) == guard
        assert title(guard) == "forkwarden: guard"


WIPED = (
    NOTE
    + """
import subprocess


def tick():
    for command in ("sleep 600", "trap '' TERM HUP INT; sleep 600", "set -m; sleep 600 & wait"):
        note("tree", subprocess.Popen(["sh", "-c", command], env={"PATH": os.environ["PATH"]}).pid)
    note("runs", os.getpid())
"""
)


def test_an_empty_environment_hides_nobody_who_stays_in_the_childs_session(project: Callable[..., Project]) -> None:
    """As subprocess.run(command, env=...) makes it: without our run-id, and nobody's child once its parent is dead."""
    made = project(config=CONFIG, code=WIPED)
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        eventually(lambda: made.lines("runs"), within=30)
        supervisor.kill()
        eventually(lambda: not any(map(alive, pids(made))), within=10, every=0.002)


def test_so_it_is_after_the_child_was_replaced_and_the_guard_too(project: Callable[..., Project]) -> None:
    """The guard is told of every child that is forked and reaped, and the next guard is born with that."""
    made = project(config=CONFIG, code=WIPED)
    with made.supervisor() as supervisor:
        for times in (1, 2):
            eventually(lambda times=times: len(made.lines("runs")) == times, within=30)
            os.kill(supervisor.pid_of("one"), signal.SIGKILL)
        eventually(lambda: len(made.lines("runs")) == 3, within=30)
        (old,) = guards()
        os.kill(old, signal.SIGKILL)
        eventually(lambda: [pid for pid in guards() if pid != old], within=30)
        supervisor.wait_ready()
        innocents = [subprocess.Popen(["sleep", "600"], start_new_session=True, env={}) for _ in range(3)]
        try:
            supervisor.kill()
            eventually(lambda: not any(map(alive, pids(made))), within=10, every=0.002)
            eventually(lambda: guards() == [], within=30)
            assert [innocent.poll() for innocent in innocents] == [None] * 3
        finally:
            for innocent in innocents:
                innocent.kill()
                innocent.wait()


def test_a_child_that_gave_up_its_rights_is_swept_too(project: Callable[..., Project]) -> None:
    """The kernel forgets PDEATHSIG when a process becomes another user; only root can, and root's guard reaches it."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    code = (
        NOTE
        + "import ctypes\n"
        + "def tick():\n"
        + "    note('runs', os.getpid())\n"
        + "    if os.fork() == 0:\n"
        + "        os.setsid()\n"
        + "        note('tree', os.getpid())\n"
        + "        os.setresuid(65534, 65534, 65534)\n"
        + "        time.sleep(600)\n"
        + "    os.setresuid(65534, 65534, 65534)\n"
        + "    ctypes.PyDLL(None).sleep(600)  # so that its second thread cannot see that we are gone\n"
    )
    made = project(config=CONFIG, code=code)
    with made.supervisor() as supervisor:
        eventually(lambda: made.lines("runs") and made.lines("tree"), within=30)
        supervisor.kill()
        eventually(lambda: not any(map(alive, pids(made))), within=10)


def test_a_guard_that_is_stopped_is_woken(tree: Project) -> None:
    with tree.supervisor() as supervisor:
        guard = started(tree, supervisor)
        os.kill(guard, signal.SIGSTOP)
        eventually(lambda: state(guard) == "S", within=30, what="it waits on its lifeline again")
        assert guards() == [guard]


# The sweep itself.


def bearer(run_id: str, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command or ["sleep", "600"], env={**os.environ, RUN_ID: run_id})


def test_a_sweep_takes_only_who_bears_that_very_run_id() -> None:
    mine, other, longer = bearer("ab12"), bearer("cd34"), bearer("ab123")
    try:
        eventually(lambda: bears(mine.pid, b"FORKWARDEN_RUN_ID=ab12"), within=30)
        eventually(lambda: bears(longer.pid, b"FORKWARDEN_RUN_ID=ab123"), within=30)
        assert bearers("ab12") == {mine.pid}
        assert sweep("ab12", spare=frozenset({mine.pid})) == 0
        assert sweep("ab12") == 1
        assert mine.wait(30) == -signal.SIGKILL
        assert (other.poll(), longer.poll()) == (None, None)
    finally:
        for process in (mine, other, longer):
            process.kill()
            process.wait()


def test_a_sweep_goes_on_until_even_a_process_that_forks_for_ever_is_gone() -> None:
    body = "import os\nwhile True:\n    if os.fork():\n        os._exit(0)\n"

    def check() -> None:
        adopt_orphans()
        made = bearer("ef56", "python3", "-c", body)
        eventually(lambda: title(made.pid) == "" or bearers("ef56"), within=30)
        time.sleep(0.1)  # some generations
        sweep("ef56")
        assert bearers("ef56") == set()

    alone(check)


# The parent's side.


def test_without_descriptors_the_guard_is_tried_again_later() -> None:
    def check() -> None:
        said: list[str] = []
        poller = Poller()
        guarding = Guarding(poller, "0" * 32, lambda level, text: said.append(text))
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
        guarding.keep(100.0)
        assert guarding.pids() == set()
        guarding.keep(100.5)
        assert len(said) == 1
        assert "Too many open files" in said[0]
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        guarding.keep(101.5)
        (pid,) = guarding.pids()
        guarding.keep(200.0)
        assert guarding.pids() == {pid}
        os.kill(pid, signal.SIGKILL)
        ((lane, _, _),) = eventually(lambda: poller.wait(0), within=30)
        assert lane is Lane.GUARD
        guarding.died(300.0)
        assert guarding.pids() not in (set(), {pid})
        guarding.dismiss()
        assert guarding.pids() == set()

    alone(check)
