"""README's first line, as written, in a clean copy; a minute later the demo's events are stored and sent."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from support.eventually import eventually
from support.house import ROOT
from support.readme import first_command
from support.real_kafka import RealKafka
from support.supervisor_process import DIES_WITH_PYTEST, NotAnswering, Supervisor
from support.system import of_this_session


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that git has, and nothing that lies about here."""
    folder = tmp_path / "forkwarden"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    return folder


def offline(copy: Path, tmp_path: Path) -> dict[str, str]:
    """Tests download nothing: pip finds every requirement in the environment that runs this test.

    The new environment sees that one's packages through a .pth file, and installs the copy itself into its own.
    Not while it is made (venv sets VIRTUAL_ENV then): it has to get a pip of its own.
    """
    packages = copy / ".venv" / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    packages.mkdir(parents=True)
    add = f'import os, sys; os.environ.get("VIRTUAL_ENV") or sys.path.append({sysconfig.get_path("purelib")!r})'
    (packages / "of-the-test.pth").write_text(f"{add}\n")
    python3 = tmp_path / "bin" / "python3"
    python3.parent.mkdir()
    python3.write_text(f'#!/bin/sh\nexec "{base_python()}" "$@"\n')
    python3.chmod(0o755)
    mine = {"KAFKA_BOOTSTRAP", "DATABASE_URL", "NOTIFY_WEBHOOK", "VIRTUAL_ENV", "PIP_FIND_LINKS", "FORKWARDEN_CONFIG"}
    kept = {key: value for key, value in os.environ.items() if key not in mine}
    path = f"{python3.parent}:{os.environ['PATH']}"
    return {**kept, "PATH": path, "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}


def base_python() -> Path:
    """Return the interpreter that the test's own environment was made of."""
    return Path(sys.base_prefix) / "bin" / f"python{sysconfig.get_python_version()}"


def test_the_readmes_first_line_runs_the_pipeline_in_a_clean_copy(copy: Path, tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as out:
        shell = subprocess.Popen(
            [*DIES_WITH_PYTEST, "bash", "-c", first_command()],
            cwd=copy,
            env=offline(copy, tmp_path),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    seen = Supervisor(copy / "config.toml")  # only to ask; the shell started it

    def said() -> str:
        return (tmp_path / "out").read_text(errors="replace")

    def answer() -> int | None:
        assert shell.poll() is None, said()
        try:
            return int(seen.status()["supervisor"]["pid"])
        except NotAnswering:
            return None

    try:
        pid = eventually(answer, within=120, what="the supervisor answers")
        eventually(lambda: delivered(copy) > 0, within=90, every=0.25, what="a notification was delivered")
        assert seen.status()["supervisor"]["demo"] is True
        assert all(child["restarts"] == 0 for child in seen.status()["children"])
        os.kill(pid, signal.SIGTERM)
        assert shell.wait(60) == 0, said()
        assert of_this_session() == []
    except BaseException as error:
        error.add_note(said()[-4000:])
        raise
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()


@pytest.mark.kafka
def test_the_same_configuration_runs_against_a_real_kafka(copy: Path, own_kafka: RealKafka) -> None:
    own_kafka.create_topic("notification-events", 2)
    environment = {"KAFKA_BOOTSTRAP": own_kafka.bootstrap, "PYTHONPATH": str(ROOT)}
    with Supervisor(copy / "config.toml", environment=environment) as supervisor:
        supervisor.wait_ready()
        assert supervisor.status()["supervisor"]["demo"] is False
        assert {child["name"] for child in supervisor.status()["children"]}.isdisjoint({"broker", "demo_events"})
        event = {"event_id": "e-1", "user_id": "u-1", "event": "order_shipped", "content": "It is on its way."}
        own_kafka.kafka().produce("notification-events", [event, event])
        eventually(lambda: stored(copy) == 1, within=90, every=0.25, what="one row for the event, sent twice")
        assert supervisor.cli("run", "notifications", "--wait").returncode == 0
        assert delivered(copy) == 1
        supervisor.wait_child("notification_events", lambda child: child.get("records") == 2 and child.get("lag") == 0)
        assert supervisor.stop() == 0


def stored(copy: Path) -> int:
    return counted(copy, "SELECT count(*) FROM notifications")


def delivered(copy: Path) -> int:
    return counted(copy, "SELECT count(*) FROM notifications WHERE sent_at IS NOT NULL")


def counted(copy: Path, query: str) -> int:
    """Ask the application's database, not the supervisor."""
    file = copy / ".supervisor" / "app.db"
    if not file.exists():
        return 0
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # the tables are being made
    finally:
        connection.close()
