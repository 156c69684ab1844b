"""`supervisor doctor` on good and on broken projects: a line for each thing, with what to do, and nothing changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from supervisor.cli.checks import cgroup
from support.kafka import Kafka
from support.project import FAST, NOTE, Project
from support.system import of_this_session

TASK = FAST + '[tasks.one]\nrun = "mine:tick"\nevery = "1h"\ntimezone = "Europe/Warsaw"\n'
CODE = NOTE + "\n\ndef tick():\n    pass\n"
CONSUMER = """
[kafka]
bootstrap_servers = "{servers}"

[consumers.reader]
handler = "mine:store"
topics = ["{topic}"]
group_id = "doctor"
auto_offset_reset = "earliest"
dead_letter_topic = "doctor-nowhere"
"""
STORE = CODE + "\n\ndef store(record):\n    pass\n"


def consumer(servers: str, topic: str = "orders") -> str:
    return TASK + CONSUMER.format(servers=servers, topic=topic)


def doctor(made: Project, *, prefix: Sequence[str] = (), **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the exit code and the checks by name."""
    found = run(made, "--json", prefix=prefix, **environment)
    assert "Traceback" not in found.stderr
    report = json.loads(found.stdout)
    assert report["ok"] is (found.returncode == 0)
    return found.returncode, {check["name"]: check for check in report["checks"]}


def run(
    made: Project, *arguments: str, prefix: Sequence[str] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPYCACHEPREFIX": str(made.folder.parent / "compiled"), **environment}
    if "PYTHONDONTWRITEBYTECODE" not in environment:
        env.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [*prefix, sys.executable, "-m", "supervisor", "doctor", *arguments]
    return subprocess.run(
        command, cwd=made.folder, env=env, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )


def files(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_a_good_project_passes_and_nothing_is_changed(project: Callable[..., Project]) -> None:
    made = project(TASK, CODE)
    before = files(made.folder)
    found = run(made)
    assert found.returncode == 0, found.stdout
    assert "✗" not in found.stdout
    assert found.stderr == f"0 problems in {len(found.stdout.splitlines())} checks\n"
    assert files(made.folder) == before
    _, checks = doctor(made)
    assert checks["zones"]["text"] == "Europe/Warsaw"
    assert checks["config"]["text"] == "config.toml: 0 consumers, 1 task"
    assert (checks["broker"]["ok"], checks["supervisor"]["ok"]) == (None, None), "there is nothing to check"
    expected = {"python", "kernel", "supervisord", "bytecode", "clock", "config", "targets", "zones", "broker"}
    expected |= {"descriptors", "processes", "memory", "state folder", "disk", "file system", "supervisor"}
    assert checks.keys() == expected


def test_a_running_supervisor_answers(project: Callable[..., Project]) -> None:
    made = project(TASK, CODE)
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        code, checks = doctor(made)
        assert (code, checks["supervisor"]["ok"]) == (0, True), checks
        assert checks["supervisor"]["text"] == f"pid {supervisor.pid} answers, 1 of 1 children ready"
        os.kill(supervisor.pid, 19)  # SIGSTOP
        try:
            assert doctor(made)[1]["supervisor"]["ok"] is False, "it is there and does not answer"
        finally:
            os.kill(supervisor.pid, 18)
        assert supervisor.stop() == 0


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import no_such_library\n", "no_such_library"),
        ("raise RuntimeError('not today')\n", "not today"),
        ("import os\nos.abort()\n", "SIGABRT"),
        ("import sys\nsys.exit(0)\n", "SystemExit"),
        ("import os\nos._exit(0)\n", "exited 0"),
        ("import time\ntime.sleep(600)\n", "no answer within 5 s"),
        ("import subprocess\nsubprocess.Popen(['sleep', '600'], start_new_session=True)\nprint(1 / 0)\n", "division"),
    ],
    ids=["missing", "raises", "aborts", "exits", "ends", "hangs", "leaves a process behind"],
)
def test_code_that_cannot_be_imported_is_told_and_harms_nobody(
    project: Callable[..., Project], code: str, says: str
) -> None:
    made = project(TASK, code)
    exit_code, checks = doctor(made)
    assert (exit_code, checks["targets"]["ok"]) == (1, False)
    assert says in checks["targets"]["text"]
    assert checks["targets"]["fix"]
    assert checks["disk"]["ok"] is True, "the others are looked at all the same"
    assert of_this_session("sleep") == []


def test_a_broken_configuration_is_told_with_its_place(project: Callable[..., Project]) -> None:
    made = project(TASK.replace('"1h"', '"never"') + "colour = 1\n", CODE)
    code, checks = doctor(made)
    assert code == 1
    assert checks["config"]["text"].startswith("config.toml:7: tasks.one.every: expected a duration")
    assert checks["config"]["text"].endswith("(and 1 error more)")
    assert "targets" not in checks
    made.config.unlink()
    assert doctor(made)[1]["config"]["ok"] is False


def test_the_demo_broker_is_objected_to(project: Callable[..., Project]) -> None:
    made = project(consumer("embedded"), STORE)
    code, checks = doctor(made)
    assert (code, checks["broker"]["ok"]) == (1, False)
    assert "demo" in checks["broker"]["text"]
    assert "bootstrap_servers" in checks["broker"]["fix"]


def test_a_broker_that_is_away_is_told_with_its_address(project: Callable[..., Project]) -> None:
    made = project(consumer("127.0.0.1:1"), STORE)
    code, checks = doctor(made)
    assert (code, checks["broker"]["ok"]) == (1, False)
    assert "127.0.0.1:1" in checks["broker"]["text"]
    assert "refused" in checks["broker"]["text"]
    assert "topics" not in checks


def test_the_topics_of_a_broker_are_compared_with_those_that_are_needed(
    project: Callable[..., Project], embedded_kafka: Kafka
) -> None:
    text = consumer(embedded_kafka.bootstrap, embedded_kafka.create(1))
    made = project(text, STORE)
    code, checks = doctor(made)
    assert (code, checks["broker"]["ok"], checks["topics"]["ok"]) == (1, True, False)
    assert checks["topics"]["text"] == "doctor-nowhere does not exist"
    made.configure(text.replace('dead_letter_topic = "doctor-nowhere"\n', 'retry_topics = ["1h"]\n'))
    code, checks = doctor(made)
    assert ".retry.1h does not exist" in checks["topics"]["text"]
    made.configure(text.replace('dead_letter_topic = "doctor-nowhere"\n', ""))
    code, checks = doctor(made)
    assert (code, checks["topics"]["ok"]) == (0, True), checks


DATABASE = """
from sqlalchemy import create_engine
from sqlalchemy.orm import Session


def session():
    with Session(create_engine(URL)) as db:
        yield db


async def away():
    raise ConnectionError("nobody is at home")


def tick(db):
    pass
"""


@pytest.mark.parametrize(
    ("url", "ok", "says"),
    [
        ("sqlite://", True, "opens and closes"),
        ("postgresql+psycopg://me:hunter2@127.0.0.1:1/app", False, "refused"),
    ],
)
def test_a_session_is_connected_once(project: Callable[..., Project], url: str, ok: bool, says: str) -> None:
    made = project(TASK + '[resources]\ndb = "mine:session"\n', f"URL = {url!r}\n{DATABASE}")
    code, checks = doctor(made)
    assert (checks["db"]["ok"], code) == (ok, 0 if ok else 1), checks
    assert says in checks["db"]["text"]
    assert "hunter2" not in json.dumps(checks)


def test_an_async_resource_that_does_not_open_is_told(project: Callable[..., Project]) -> None:
    made = project(TASK + '[resources]\ndb = "mine:session"\nother = "mine:away"\n', f"URL = 'sqlite://'\n{DATABASE}")
    code, checks = doctor(made)
    assert (code, checks["db"]["ok"], checks["other"]["ok"]) == (1, True, False)
    assert "nobody is at home" in checks["other"]["text"]


def test_supervisord_beside_it_is_told(project: Callable[..., Project], tmp_path: Path) -> None:
    about = tmp_path / "site" / "supervisor-4.2.5.dist-info" / "METADATA"
    about.parent.mkdir(parents=True)
    about.write_text("Metadata-Version: 2.1\nName: supervisor\nVersion: 4.2.5\n")
    code, checks = doctor(project(TASK, CODE), PYTHONPATH=str(tmp_path / "site"))
    assert (code, checks["supervisord"]["ok"]) == (1, False)
    assert "Supervisord 4.2.5" in checks["supervisord"]["text"]
    assert "pip uninstall" in checks["supervisord"]["fix"]


def test_a_state_folder_that_others_may_write_in_is_told_with_the_command_that_mends_it(
    project: Callable[..., Project],
) -> None:
    made = project(TASK, CODE)
    made.state.mkdir()
    made.state.chmod(0o777)
    code, checks = doctor(made)
    assert (code, checks["state folder"]["ok"]) == (1, False)
    assert checks["state folder"]["fix"].endswith(f"chmod 700 {made.state}")
    made.state.rmdir()
    made.state.symlink_to("/tmp")
    assert "is a link" in doctor(made)[1]["state folder"]["text"]


def test_a_limit_of_descriptors_that_is_too_low_is_told(project: Callable[..., Project]) -> None:
    code, checks = doctor(project(TASK, CODE), prefix=["prlimit", "--nofile=80:80"])
    assert (code, checks["descriptors"]["ok"]) == (1, False)
    assert checks["descriptors"]["text"] == "80 are allowed, 104 needed"


def test_bytecode_that_cannot_be_written_is_told(project: Callable[..., Project]) -> None:
    code, checks = doctor(project(TASK, CODE), PYTHONDONTWRITEBYTECODE="1")
    assert (code, checks["bytecode"]["ok"]) == (1, False)
    assert "compileall" in checks["bytecode"]["fix"]


def test_a_full_disk_and_one_without_inodes_are_told(project: Callable[..., Project]) -> None:
    made = project(TASK, CODE)
    made.state.mkdir(mode=0o700)
    mount = f'mount -t tmpfs -o size=1m,nr_inodes=5000,mode=0700 none {made.state} && exec "$@"'
    unshared = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    if subprocess.run([*unshared, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no right to mount (needs root)")
    assert doctor(made, prefix=unshared)[1]["disk"]["text"].endswith("MiB are free")
    unshared[4] = mount.replace("1m", "500m").replace("5000", "10")
    assert doctor(made, prefix=unshared)[1]["disk"]["text"].endswith("inodes are free")
    unshared[4] = mount.replace("1m", "500m").replace("mode=0700", "mode=0700,ro")
    code, checks = doctor(made, prefix=unshared)
    assert (code, checks["file system"]["ok"]) == (1, False)
    assert "Read-only" in checks["file system"]["text"]


@pytest.mark.parametrize(
    ("files", "own", "limit", "used", "left"),
    [
        (
            {"a/b/pids.max": "max", "a/pids.max": "100", "a/pids.current": "96"},
            "0::/a/b",
            "pids.max",
            "pids.current",
            4,
        ),
        ({"a/pids.max": "5", "a/pids.current": "9"}, "0::/a", "pids.max", "pids.current", 0),
        ({"memory.max": "1000", "a/memory.max": "5000"}, "0::/a", "memory.max", None, 1000),
        ({"memory/a/memory.limit_in_bytes": "7"}, "4:cpu,memory:/a\n0::/", "memory.max", None, 7),
        ({"memory/memory.limit_in_bytes": str(1 << 62)}, "4:memory:/", "memory.max", None, None),
        ({}, "0::/../..", "memory.max", None, None),
    ],
)
def test_the_tightest_cgroup_counts(
    tmp_path: Path, files: dict[str, str], own: str, limit: str, used: str | None, left: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text + "\n")
    (tmp_path / "own").write_text(own + "\n")
    assert cgroup.left(limit, used, root=str(tmp_path / "root"), own=str(tmp_path / "own")) == left
