"""What decides is tried whole: every branch of core/, by the unit tests alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.house import ROOT


def test_unit_tests_alone_reach_every_branch_of_the_core(tmp_path: Path) -> None:
    environment = {**os.environ, "COVERAGE_FILE": str(tmp_path / "coverage"), "CI": "true"}  # the same examples always
    measured = [sys.executable, "-m", "coverage", "run", "--branch", "--source=supervisor/core"]
    tests = [*measured, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit"]
    done = subprocess.run(tests, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    report = [sys.executable, "-m", "coverage", "report", "--skip-covered", "--show-missing", "--fail-under=100"]
    said = subprocess.run(report, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stdout
