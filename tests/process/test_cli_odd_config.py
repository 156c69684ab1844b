"""config.toml that is no plain file: each command says so and ends; none reads without an end."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from support.project import FAST, Project

VERBS = [["status"], ["check"], ["start"], ["reload"], ["explain", "x"], ["logs", "x"], ["stop"], ["config", "show"]]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: " ".join(verb))
@pytest.mark.parametrize("kind", ["a FIFO", "an endless device"])
def test_a_command_ends_in_front_of(project: Callable[..., Project], kind: str, verb: list[str]) -> None:
    made = project()
    made.config.unlink()
    if kind == "a FIFO":
        os.mkfifo(made.config)
    else:
        made.config.symlink_to("/dev/zero")
    done = made.run(*verb, timeout=30)
    assert done.returncode in (2, 3, 4)
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_a_supervisor_is_found_when_a_folder_has_come_into_the_place_of_its_file(
    project: Callable[..., Project],
) -> None:
    made = project(config=FAST + '[tasks.one]\nrun = "mine:one"\nevery = "1h"\n', code="def one():\n    pass\n")
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        made.config.unlink()
        made.config.mkdir()
        assert made.run("status").returncode == 0
        for verb in ("check", "reload"):
            done = made.run(verb)
            assert done.returncode == 2
            assert "config.toml: expected a file, found a folder" in done.stderr
        assert supervisor.pid_of("one") == pid
