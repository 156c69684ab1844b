"""The command: `python tests/fuzz/run.py --examples N`: the tests of this folder with N new examples each."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[2])
    parser.add_argument("--examples", type=int, default=20_000)
    parser.add_argument("--seed", type=int, help="the same examples again")
    given = parser.parse_args()
    here = Path(__file__).parent
    command = [sys.executable, "-m", "pytest", "-q", "--timeout=0", "-o", "faulthandler_timeout=0"]
    command += [f"--hypothesis-seed={given.seed}"] if given.seed is not None else []
    env = {**os.environ, "FORKWARDEN_FUZZ": str(given.examples), "CI": ""}
    files = sorted(here.glob("test_*.py"))
    running = [subprocess.Popen([*command, str(file)], env=env, cwd=here.parents[1]) for file in files]
    return max(process.wait() for process in running)


if __name__ == "__main__":
    sys.exit(main())
