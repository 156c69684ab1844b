"""RUNS IN A PROCESS OF ITS OWN, which becomes the supervisor of a test: its plan comes through stdin."""

from __future__ import annotations

import os
import sys

from supervisor.cli.start import become_parent
from supervisor.forked import die_with


def main() -> int:
    die_with(os.getppid())  # stays over the exec: no test leaves a supervisor behind
    plan = sys.stdin.buffer.read()
    with open(become_parent(), "wb") as pipe:  # only a copy comes here
        pipe.write(plan)
    return 0


if __name__ == "__main__":
    sys.exit(main())
