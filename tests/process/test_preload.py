"""What the parent imports before its first fork: shared by all children, and never a thread."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.core.spec import ChildSpec, Plan, Policy, SupervisorSettings, TaskSettings
from supervisor.parent.preload import PreloadError, preload
from support.alone import alone
from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.system import of_this_session

THREADS = {
    "a thread of Python": "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n",
    "a thread of its own in C": (
        "import ctypes\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.pthread_create(ctypes.byref(ctypes.c_ulong()), None, ctypes.cast(libc.pause, ctypes.c_void_p), None)\n"
    ),
}


def plan(*modules: str) -> Plan:
    settings = SupervisorSettings(config_file="/x/config.toml", project_dir="/x", state_dir="/x/s", preload=modules)
    task = ChildSpec(
        name="one", group="one", kind="task", enabled=True, policy=Policy(), settings=TaskSettings(run="a:b", every=1.0)
    )
    return Plan(supervisor=settings, children=(task,))


@pytest.mark.parametrize("what", THREADS)
def test_a_module_that_starts_a_thread_is_refused_by_name(tmp_path: Path, what: str) -> None:
    (tmp_path / "threaded.py").write_text(THREADS[what])

    def check() -> None:
        sys.path.insert(0, str(tmp_path))
        with pytest.raises(PreloadError, match=r"config.toml: supervisor.preload: .* found \"threaded\"; remove it"):
            preload(plan("json", "threaded"))

    alone(check)


def test_a_thread_that_has_ended_again_is_no_harm(tmp_path: Path) -> None:
    (tmp_path / "brief.py").write_text("import threading\nt = threading.Thread(target=int)\nt.start()\nt.join()\n")

    def check() -> None:
        sys.path.insert(0, str(tmp_path))
        assert preload(plan("brief")) == []

    alone(check)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import no_such_library\n", "no_such_library"),
        ("raise RuntimeError('needs a database')\n", "needs a database"),
        ("raise SystemExit(3)\n", "SystemExit"),
        ("def f(:\n", "SyntaxError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_a_note_and_children_try_themselves(
    tmp_path: Path, code: str, says: str
) -> None:
    (tmp_path / "broken.py").write_text(code)

    def check() -> None:
        sys.path.insert(0, str(tmp_path))
        (note,) = preload(plan("broken", "json"))
        assert note.startswith("preload: broken cannot be imported here")
        assert says in note

    alone(check)


def test_what_children_need_is_there_and_frozen_and_nothing_of_kafka_without_a_consumer() -> None:
    def check() -> None:
        for name in [name for name in sys.modules if name.startswith(("supervisor.child", "schedule", "confluent"))]:
            del sys.modules[name]
        assert preload(plan()) == []
        assert "supervisor.child.schedule.runner" in sys.modules
        assert "schedule" in sys.modules
        assert "confluent_kafka" not in sys.modules
        assert gc.get_freeze_count() > 1000

    alone(check)


# The real command.

TASK = """
[tasks.one]
run = "mine:tick"
every = "1h"
"""


def test_start_says_which_module_and_exits_2_although_its_thread_goes_on(project: Callable[..., Project]) -> None:
    made = project(config=FAST + 'preload = ["threaded"]\n' + TASK, code=NOTE + "def tick(): pass\n")
    made.write("threaded.py", THREADS["a thread of Python"])
    with made.supervisor(PYTHONPATH=str(made.folder)) as supervisor:
        assert supervisor.wait() == 2
        assert 'found "threaded"; remove it from the list' in supervisor.stderr
        assert "Traceback" not in supervisor.stderr
    assert of_this_session() == []


def test_a_preloaded_library_is_loaded_once_and_the_users_module_afresh(project: Callable[..., Project]) -> None:
    made = project(
        config=FAST + 'preload = ["shared"]\n' + TASK,
        code=NOTE + "import shared\nnote('mine', os.getpid())\ndef tick(): pass\n",
    )
    made.write("shared.py", NOTE + "note('shared', os.getpid())\n")
    with made.supervisor(PYTHONPATH=str(made.folder)) as supervisor:
        one = supervisor.pid_of("one")
        os.kill(one, 9)
        eventually(lambda: len(made.lines("mine")) == 2, within=30)
        assert str(supervisor.pid) in made.lines("shared")
        assert str(one) not in made.lines("shared")
