"""What the chaos commands see of processes, tried on processes that are none of the product's."""

from __future__ import annotations

import os
import subprocess

from chaos import proc
from support.eventually import eventually


def test_one_that_has_no_environment_any_more_is_known_by_what_it_was() -> None:
    """Between two programs it has none either: the supervisor, which starts by becoming another program, was missed."""
    tag = f"{os.getpid()}-proc"
    process = subprocess.Popen(["sleep", "600"], env={proc.TAG: tag, "HOME": "/"})
    try:
        tree = proc.Tree(tag)
        eventually(lambda: process.pid in tree.living())
        process.kill()
        eventually(lambda: tree.look()[process.pid].dead)
        assert proc.read(f"/proc/{process.pid}/environ") == b""
    finally:
        process.kill()
        process.wait()
    assert process.pid not in tree.look()
