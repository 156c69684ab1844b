"""Each file of the state folder, broken in each way: it starts, commands answer, and what was found is said."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from support.eventually import eventually
from support.project import FAST, NOTE, Project

CONFIG = (
    FAST.replace('grace_period = "2s"', 'grace_period = "9s"')
    + """
[kafka]
bootstrap_servers = "embedded"

[tasks.one]
run = "mine:one"
every = "500ms"

[consumers.c]
handler = "mine:store"
topics = ["t"]
group_id = "g"
auto_offset_reset = "earliest"
"""
)
CODE = (
    NOTE
    + """
def one():
    print("a line of its own")
    note("runs")


def store(record):
    pass
"""
)
NEVER = ("ctl.sock", "keepers", "broker.json", "events.1", "logs/one.log.1")  # not there after a stop, or not yet
COMMANDS = (
    ("status",),
    ("explain", "one"),
    ("logs",),
    ("report", "one"),
    ("events",),
    ("history", "one"),
    ("doctor",),
    ("stack", "one"),
)


def _removed(path: Path) -> Path:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return path


def _truncated(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(file.tell() * 2 // 3)


def _huge(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(1 << 30)


SPOILED: dict[str, Callable[[Path], object]] = {
    "truncated": _truncated,
    "corrupt": lambda path: _removed(path).write_bytes(b"\x00\xff\x1b[2Jgarbage\n" * 300),
    "empty": lambda path: _removed(path).write_bytes(b""),
    "of a later version": lambda path: _removed(path).write_text('{"version": 999}\n'),
    "1 GB": _huge,
    "a symbolic link": lambda path: _removed(path).symlink_to("/etc/hostname"),
    "a link to nothing": lambda path: _removed(path).symlink_to("/nowhere/at/all"),
    "a folder": lambda path: _removed(path).mkdir(),
    "a FIFO": lambda path: os.mkfifo(_removed(path)),
}
NO_FILES = ("a symbolic link", "a link to nothing", "a folder", "a FIFO")


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder as a supervisor left it."""
    made = Project(tmp_path_factory.mktemp("left"), CONFIG, CODE)
    with made.supervisor() as supervisor:
        pid = supervisor.wait_ready().pid_of("one")
        supervisor.request("POST", "/v1/children/one/disable", {"note": "", "for": 0.1, "now": True})
        supervisor.request("POST", "/v1/children/one/enable", {})
        pid = supervisor.wait_child("one", lambda child: child["ready"] and child["pid"] != pid)["pid"]
        os.kill(pid, signal.SIGKILL)
        supervisor.wait_child("one", lambda child: child["ready"] and child["pid"] != pid)
        eventually(lambda: made.lines("runs"), within=30)
        assert supervisor.stop() == 0, supervisor.stderr
    return made.state


def _answer(made: Project, commands: Sequence[tuple[str, ...]] = COMMANDS) -> None:
    for command in commands:
        done = made.run(*command, timeout=60)
        said = done.stdout + done.stderr
        assert done.returncode in (0, 1, 3), (command, done)
        assert "Traceback" not in said
        assert all(char >= " " or char in "\n\t" for char in said), (command, said)


@pytest.mark.parametrize("how", SPOILED)
def test_all_files_at_once(project: Callable[..., Project], left: Path, how: str) -> None:
    made = project(config=CONFIG, code=CODE)
    shutil.copytree(left, made.state)
    made.state.chmod(0o700)
    files = {str(path.relative_to(made.state)) for path in made.state.rglob("*") if path.is_file()}
    assert {"lock", "journal", "events", "toggles.json", "history/one.db", "logs/supervisor.log"} <= files
    assert any(name.startswith("crashes/") for name in files)
    files |= {name for name in NEVER if how != "truncated"}
    if how in NO_FILES:
        files.remove("lock")  # another holder of it might be running: it is refused, see below
    if how == "1 GB":  # one of a kind: reading them takes seconds
        files -= {"events.1", "logs/one.log.1", "logs/c.log", "logs/broker.log"}
    for name in files:
        SPOILED[how](made.state / name)
    _answer(made)
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        runs = len(made.lines("runs"))
        eventually(lambda: len(made.lines("runs")) >= runs + 2, within=30)
        notes = "\n".join(supervisor.status()["supervisor"]["notes"])
        if how != "truncated":
            assert "toggles.json.bad-" in notes
            assert "journal.bad-" in notes or how == "empty"
        if how in NO_FILES:
            assert all(f"{name}.bad-" in notes for name in ("events", "logs/one.log", "logs/supervisor.log")), notes
        _answer(made)
        assert "ok" in made.run("history", "one").stdout
        assert "Traceback" not in supervisor.stderr
        assert supervisor.stop() == 0, supervisor.stderr
    assert not Path("/nowhere").exists()


READS = {"lock": ("status",), "logs": ("logs",), "history": ("history", "one"), "crashes": ("report", "one")}
REFUSED = [("lock", how) for how in NO_FILES]
REFUSED += [(name, how) for name in ("logs", "history", "crashes") for how in (*NO_FILES, "empty") if how != "a folder"]


@pytest.mark.parametrize(("name", "how"), REFUSED, ids=[f"{name}: {how}" for name, how in REFUSED])
def test_what_decides_who_may_start_or_where_is_written_is_refused_in_one_line(
    project: Callable[..., Project], left: Path, name: str, how: str
) -> None:
    made = project(config=CONFIG, code=CODE)
    shutil.copytree(left, made.state)
    made.state.chmod(0o700)
    SPOILED[how](made.state / name)
    _answer(made, [READS[name]])
    done = made.run("start")
    assert done.returncode == 1
    (said,) = [each for each in done.stderr.splitlines() if each.startswith("error: ")]
    assert f"/.supervisor/{name}: " in said
    assert said.endswith("remove it")
