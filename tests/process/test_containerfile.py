"""The Containerfile, read as a builder reads it; what it runs is run here, as process 1 and as nobody in particular."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.eventually import eventually
from support.house import ROOT
from support.project import FAST, Project
from support.supervisor_process import DIES_WITH_PYTEST

UNSHARE = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
CONFIG = FAST + '[tasks.one]\nrun = "mine:tick"\nevery = "1h"\n'


def instructions() -> list[tuple[str, str]]:
    """Return (INSTRUCTION, rest), comments left out and continued lines joined."""
    lines = [line for line in (ROOT / "Containerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def one(word: str) -> str:
    (found,) = [rest for instruction, rest in instructions() if instruction == word]
    return found


def words(word: str) -> list[str]:
    """Return the words of an instruction in its exec form: no shell would be process 1."""
    found = json.loads(re.sub(r"^.*?(?=\[)", "", one(word)))
    assert all(isinstance(each, str) for each in found)
    return [str(each) for each in found]


def command(*given: str) -> list[str]:
    """Return the words with the command of this very checkout."""
    assert given[0] == "supervisor"
    return [str(Path(sys.executable).with_name("supervisor")), *given[1:]]


def test_it_is_of_a_version_that_is_tested_and_starts_as_a_user_without_rights() -> None:
    claimed = re.findall(r"Programming Language :: Python :: (\d+\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert instructions()[0] in [("FROM", f"python:{version}-slim") for version in claimed]
    order = [instruction for instruction, _ in instructions()]
    uid, _, gid = one("USER").partition(":")
    assert int(uid) > 999, "a number: the runtime can tell that it is not root"
    assert int(gid) > 999
    assert order.index("USER") > max(index for index, each in enumerate(order) if each == "RUN")
    assert one("STOPSIGNAL") == "SIGTERM"


def test_what_it_copies_is_here_and_all_of_it_is_compiled() -> None:
    copied = [source for instruction, rest in instructions() if instruction == "COPY" for source in rest.split()[:-1]]
    assert {"supervisor", "tasks", "config.toml", "pyproject.toml"} <= set(copied)
    assert [source for source in copied if not (ROOT / source).exists()] == []
    runs = [rest for instruction, rest in instructions() if instruction == "RUN"]
    assert any("pip install" in run and "--compile" in run and "--no-compile" not in run for run in runs)
    assert any("compileall" in run and "tasks" in run for run in runs)
    assert "PYTHONDONTWRITEBYTECODE" not in (ROOT / "Containerfile").read_text()


def test_its_health_is_the_supervisors_own() -> None:
    assert words("HEALTHCHECK") == ["supervisor", "status", "--check", "--live"]


@pytest.fixture
def shared() -> Iterator[Project]:
    """A project where a user without rights can reach it; pytest's own folders are closed."""
    folder = Path(tempfile.mkdtemp(prefix="forkwarden-container-"))
    made = Project(folder / "app", CONFIG, "def tick():\n    pass\n")
    folder.chmod(0o755)
    made.state.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(made.state, 10001, 10001)
    yield made
    shutil.rmtree(folder)


def user_inside(shared: Project) -> tuple[int, list[str]]:
    """Return the user it can run as here, and the words before its command.

    The image's own, unless this interpreter lies where only root may go: then root. `start` execs it once more,
    so that is what is tried: the first exec still has root's right to pass.
    """
    uid, gid = one("USER").split(":")
    inside = [*UNSHARE, "setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    again = "import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'import supervisor.cli'])"
    if subprocess.run([*inside, sys.executable, "-c", again], check=False, capture_output=True).returncode == 0:
        return int(uid), inside
    shutil.chown(shared.state, 0, 0)
    return 0, UNSHARE


def test_what_it_runs_is_process_1_is_healthy_and_stops_cleanly(shared: Project) -> None:
    if subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no right to make a PID namespace (needs root)")
    uid, inside = user_inside(shared)
    env = {**os.environ, "FORKWARDEN_CONFIG": str(shared.config), "HOME": str(shared.folder)}
    with open(shared.folder / "output", "wb") as output:
        process = subprocess.Popen(
            [*DIES_WITH_PYTEST, *inside, *command(*words("ENTRYPOINT"), *words("CMD"))],
            cwd=shared.folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        check = command(*words("HEALTHCHECK"))
        eventually(lambda: _ok(check, env), within=60, every=0.2, what=(shared.folder / "output").read_text())
        status = json.loads(subprocess.check_output(command("supervisor", "status", "--json"), env=env))
        assert status["supervisor"]["pid"] == 1
        first = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        assert Path(f"/proc/{first}").stat().st_uid == uid
        os.kill(first, signal.SIGTERM)
        assert process.wait(60) == 0, (shared.folder / "output").read_text()
        assert not _ok(check, env)
    finally:
        process.kill()
        process.wait(60)


def test_a_broken_child_does_not_make_it_unhealthy(shared: Project) -> None:
    shared.write("mine.py", "import no_such_library\n")
    env = {**os.environ, "FORKWARDEN_CONFIG": str(shared.config)}
    if os.geteuid() == 0:
        shutil.chown(shared.state, 0, 0)
    with shared.supervisor() as supervisor:
        supervisor.wait_child("one", lambda child: child["state"] == "fatal")
        assert _ok(command(*words("HEALTHCHECK")), env)
        assert not _ok(command("supervisor", "status", "--check"), env)


def _ok(check: list[str], env: dict[str, str]) -> bool:
    return subprocess.run(check, env=env, check=False, capture_output=True, timeout=60).returncode == 0
