"""`supervisor unit`: what systemd is told is what it understands, and what it runs is what works."""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.project import FAST, Project
from support.supervisor_process import DIES_WITH_PYTEST

CONFIG = FAST + '[tasks.one]\nrun = "mine:tick"\nevery = "${EVERY:-1h}"\n'
CODE = "def tick():\n    pass\n"


def parsed(text: str) -> configparser.ConfigParser:
    """As far as the two agree: names before =, comments, sections. Every setting stands once."""
    found = configparser.ConfigParser(strict=True, interpolation=None, comment_prefixes="#", delimiters="=")
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string(text)
    return found


def made_unit(made: Project, *arguments: str) -> configparser.ConfigParser:
    found = made.run("unit", *arguments)
    assert found.returncode == 0, found.stderr
    return parsed(found.stdout)


def test_it_says_what_the_supervisor_needs_of_systemd(project: Callable[..., Project]) -> None:
    made = project(CONFIG, CODE)
    found = made_unit(made, "--user", "app")
    assert found.sections() == ["Unit", "Service", "Install"]
    service = dict(found["Service"])
    expected = {
        "Type": "notify",
        "NotifyAccess": "main",
        "User": "app",
        "Restart": "on-failure",
        "RestartPreventExitStatus": "2",
        "OOMPolicy": "continue",
        "KillMode": "mixed",
        "WatchdogSec": "30",
        "TimeoutStopSec": "12",  # the grace period of the project and ten seconds
        "WorkingDirectory": str(made.folder),
    }
    assert expected.items() <= service.items()
    assert service["ExecStart"].endswith(f" -m supervisor start --config {made.config}")
    assert all(word.startswith("/") for word in (service["ExecStart"], service["WorkingDirectory"]))
    assert "PrivateTmp" not in service, "it would hide this very project, which lies in /tmp"


@pytest.mark.parametrize("folder", ["plain", "with space", "100%d", "a$HOME", "q\"uo'te", "back\\slash", "ümläut;"])
def test_systemd_understands_it_whatever_the_project_is_called(tmp_path: Path, folder: str) -> None:
    made = Project(tmp_path / folder, CONFIG, CODE)
    unit = tmp_path / "forkwarden-of-a-test.service"
    unit.write_text(made.run("unit").stdout)
    service = parsed(unit.read_text())["Service"]
    words = shlex.split(service["ExecStart"].replace("%%", "%").replace("$$", "$"))
    assert words[1:] == ["-m", "supervisor", "start", "--config", str(made.config)]
    if shutil.which("systemd-analyze"):
        found = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
        assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_what_it_starts_comes_up_and_says_so(project: Callable[..., Project], tmp_path: Path) -> None:
    made = project(CONFIG, CODE)
    service = made_unit(made)["Service"]
    environment = dict([shlex.split(service["Environment"])[0].split("=", 1)])
    tag = {name: os.environ[name] for name in os.environ if name.startswith("FORKWARDEN_TEST")}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        process = subprocess.Popen(
            [*DIES_WITH_PYTEST, *shlex.split(service["ExecStart"])],
            cwd=service["WorkingDirectory"],
            env={**environment, **tag, "NOTIFY_SOCKET": str(tmp_path / "notify")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while b"READY=1" not in systemd.recv(4096):
                pass  # its state, as it changes
            command = shlex.split(service["ExecReload"])
            reload = subprocess.run(command, env=environment, capture_output=True, check=False)
            assert reload.returncode == 0, reload.stderr
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait(60)


@pytest.mark.parametrize("name", ["no such", "x\nExecStartPre=/bin/true", "", "-", "a" * 40])
def test_what_is_no_name_of_a_user_is_refused(project: Callable[..., Project], name: str) -> None:
    found = project(CONFIG, CODE).run("unit", "--user", name)
    assert (found.returncode, found.stdout) == (1, "")
    assert "no name of a user" in found.stderr


def test_a_path_that_could_write_other_settings_is_refused(tmp_path: Path) -> None:
    made = Project(tmp_path / "x\nExecStartPre=rm", CONFIG, CODE)
    found = made.run("unit")
    assert (found.returncode, found.stdout) == (1, "")


def test_variables_of_the_configuration_are_named_and_their_values_are_not(project: Callable[..., Project]) -> None:
    text = project(CONFIG + "# ${NOT_THIS}\n", CODE).run("unit").stdout
    assert "takes from the environment: EVERY." in text
    assert "NOT_THIS" not in text


def test_a_broken_configuration_makes_no_unit(project: Callable[..., Project]) -> None:
    found = project(CONFIG + "colour = 1\n", CODE).run("unit")
    assert (found.returncode, found.stdout) == (2, "")
    assert "config.toml" in found.stderr
