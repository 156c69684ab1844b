"""config.toml that is no plain file: each command says so and ends; none reads without an end."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from support.project import Project

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
