"""Two minutes of every harm at random; longer: `python tests/chaos/soak.py --minutes M`."""

from __future__ import annotations

import faulthandler
import random
import subprocess
import sys
from pathlib import Path

import pytest

from chaos import soak
from support.supervisor_process import DIES_WITH_PYTEST

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

SLACK = "30"  # seconds that a loaded machine may take more


def test_every_promise_holds_over_two_minutes_of_harm(tmp_path: Path) -> None:
    faulthandler.cancel_dump_traceback_later()  # it lasts longer than what is taken for a hang
    seed = str(random.randrange(10**6))
    arguments = ["--minutes", "2", "--seed", seed, "--slack", SLACK, "--folder", str(tmp_path / "soak")]
    command = [*DIES_WITH_PYTEST, sys.executable, soak.__file__, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said, _ = process.communicate(timeout=540)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
    print(said)
    assert process.returncode == 0, said
