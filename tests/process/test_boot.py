"""The first lines of a child: what it inherits and what it does not, seen from inside and in /proc."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.system import alive, title

CONFIG = (
    FAST
    + """
[tasks.one]
run = "mine:tick"
every = "1h"
run_on_start = true

[tasks.two]
run = "mine:tick"
every = "1h"
"""
)
CODE = (
    NOTE
    + """
import json
import resource
import sys
import threading


def tick():
    note("seen", json.dumps({
        "stdin": sys.stdin.read(),
        "argv": sys.argv,
        "path": sys.path[0],
        "cwd": os.getcwd(),
        "limit": resource.getrlimit(resource.RLIMIT_NOFILE),
        "threads": [thread.name for thread in threading.enumerate()],
        "name": os.environ["FORKWARDEN_CHILD"],
        "state": os.environ["FORKWARDEN_STATE_DIR"],
        "mask": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, set())],
        "hup": signal.getsignal(signal.SIGHUP) == signal.SIG_IGN,
        "chld": signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL,
        "pipe": signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN,
        "plan": "FORKWARDEN_PLAN_FD" in os.environ,
        "sessions": [os.getsid(0), os.getpgid(0), os.getpid()],
        "oom": [int(open(f"/proc/{pid}/oom_score_adj").read()) for pid in (os.getpid(), os.getppid())],
    }))
"""
)


@pytest.fixture
def made(project: Callable[..., Project]) -> Project:
    return project(config=CONFIG, code=CODE)


def seen(made: Project) -> dict[str, Any]:
    return dict(json.loads(eventually(lambda: made.lines("seen"), within=30)[0]))


def held(pid: int) -> dict[int, str]:
    """The descriptors of a process, as the kernel knows them."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            pass  # closed meanwhile
    return found


def test_a_child_has_no_descriptor_but_its_own(made: Project) -> None:
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        one, two = (held(supervisor.pid_of(name)) for name in ("one", "two"))
        parent = held(supervisor.pid)
        assert one[0] == "/dev/null"
        assert one[1] == one[2] == str(made.state / "logs" / "one.log")
        pipes = {link for link in one.values() if link.startswith("pipe:")}
        assert len(pipes) == 2, one
        assert not pipes & {link for link in two.values() if link.startswith("pipe:")}
        foreign = [link for link in one.values() if "lock" in link or "pidfd" in link or "eventpoll" in link]
        assert foreign == []
        assert not [link for link in one.values() if link.startswith("socket:")]
        console = [link for link in one.values() if link.endswith("supervisor-1.stderr")]
        assert len(console) == 1, "its log lines on the supervisor's stderr"
        assert str(made.state / "lock") in parent.values(), "only the parent holds the lock"


def test_what_a_task_finds_around_it(made: Project) -> None:
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        found = seen(made)
    assert found["stdin"] == "", "an input that ends at once, never the supervisor's terminal"
    assert found["path"] == str(made.folder)
    assert found["name"] == "one"
    assert found["state"] == str(made.state)
    assert found["limit"] == list(limit_of_this_session()), "as the supervisor was started, not as it raised its own"
    assert found["mask"] == []
    assert (found["hup"], found["chld"], found["pipe"], found["plan"]) == (True, True, True, False)
    assert len(set(found["sessions"])) == 1, "a session and a group of its own"
    assert sorted(found["threads"]) == ["MainThread", "heartbeat"]
    child, parent = found["oom"]
    assert child == min(1000, parent + 300), "when memory runs out the kernel takes a child, not the supervisor"


def limit_of_this_session() -> tuple[int, int]:
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)


def test_it_bears_its_name_and_keeps_its_environment(made: Project) -> None:
    """A title is written over the environment block unless that is forbidden; the guard looks for the run-id there."""
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        assert title(pid) == "forkwarden: one"
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read()
        run_id = supervisor.status()["supervisor"]["run_id"]
        assert f"FORKWARDEN_RUN_ID={run_id}".encode() in environment.split(b"\0")


def test_a_child_whose_parent_dies_dies_too_even_while_it_is_stopped(made: Project) -> None:
    with made.supervisor() as supervisor:
        pids = [supervisor.pid_of(name) for name in ("one", "two")]
        os.kill(pids[0], signal.SIGSTOP)
        supervisor.kill()
        eventually(lambda: not any(map(alive, pids)), within=30)


def test_a_user_module_that_is_no_module_is_the_childs_trouble_alone(made: Project) -> None:
    made.write("mine.py", "import os\nos.close(1)\nos.close(2)\nraise RuntimeError('not today')\n")
    with made.supervisor() as supervisor:
        child = supervisor.wait_child("one", lambda child: child["restarts"] >= 2)
        assert "not today" in child["reason"], "the reason comes by the pipe, whatever became of its output"
        assert alive(supervisor.pid)


def test_a_log_file_that_cannot_be_opened_costs_the_log_only(made: Project) -> None:
    log, before = made.state / "logs" / "one.log", os.stat("/etc/passwd").st_size
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        first = supervisor.pid_of("one")
        log.unlink()
        log.symlink_to("/etc/passwd")  # a start would put it aside
        os.kill(first, signal.SIGKILL)
        child = supervisor.wait_child("one", lambda child: child["pid"] not in (None, first) and child["ready"])
        assert held(child["pid"])[1] == "/dev/null"
        seen(made)
    assert os.stat("/etc/passwd").st_size == before


DEADLOCK = """
import os

if "FORKWARDEN_PLAN_FD" in os.environ:
    import time
    os.register_at_fork(after_in_child=lambda: time.sleep(600) if os.path.exists({hang!r}) else None)
"""


def test_a_lock_that_hangs_between_fork_and_hello_is_a_start_timeout(project: Callable[..., Project]) -> None:
    """A library's at-fork hook may block before a line of ours runs. Nothing but a deadline sees it."""
    made = project(config=CONFIG.replace("watch = false", 'watch = false\nhello_timeout = "2s"'), code=CODE)
    made.write("plant/sitecustomize.py", DEADLOCK.format(hang=str(made.folder / "hang")))
    with made.supervisor(PYTHONPATH=str(made.folder / "plant")) as supervisor:
        one, two = supervisor.pid_of("one"), supervisor.pid_of("two")
        made.write("hang", "")
        os.kill(one, signal.SIGKILL)
        child = supervisor.wait_child(
            "one", lambda child: child["last_exit"] and child["last_exit"]["cause"] == "start_timeout", within=60
        )
        assert "did not come to life within 2 s" in child["last_exit"]["reason"]
        (made.folder / "hang").unlink()
        supervisor.wait_child("one", lambda child: child["ready"])
        assert supervisor.pid_of("two") == two
