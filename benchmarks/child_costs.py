"""What supervision costs inside a child: a run's words in the black box, a heartbeat. Medians of batches, in µs.

.venv/bin/python benchmarks/child_costs.py
"""

from __future__ import annotations

import mmap
import os
import statistics
import sys
import time
from collections.abc import Callable

from supervisor.child.birth import Birth
from supervisor.child.heartbeat import Heartbeat
from supervisor.child.runtime import Runtime
from supervisor.core.spec import ChildSpec, Policy, SupervisorSettings, TaskSettings
from supervisor.core.wire import page

BATCHES = 200
GOALS = {"a run's words in the black box": 1.0, "a heartbeat": 20.0}  # µs


def runtime(messages: int, orders: int) -> Runtime:
    """As a child has it, in this process; its log is nowhere."""
    spec = ChildSpec(
        name="cost", group="cost", kind="task", enabled=True, policy=Policy(), settings=TaskSettings(run="a:b", every=1)
    )
    supervisor = SupervisorSettings(config_file="/dev/null", project_dir="/", state_dir="/nonexistent")
    return Runtime(
        Birth(
            spec=spec,
            supervisor=supervisor,
            generation=1,
            previous=None,
            parent_pid=os.getpid(),
            messages=messages,
            orders=orders,
            page=mmap.mmap(-1, page.SIZE),
            dump=-1,
            console=2,
            nofile=(1024, 4096),
            extra={},
        )
    )


def micros(act: Callable[[], object], between: Callable[[], object], times: int) -> float:
    """Return the median of the batches, per call; `between` two batches is not counted."""
    found = []
    for _ in range(BATCHES):
        began = time.perf_counter()
        for _ in range(times):
            act()
        found.append((time.perf_counter() - began) / times)
        between()
    return statistics.median(found) * 1e6


def main() -> int:
    read, write = os.pipe()
    orders, _ = os.pipe()
    rt = runtime(write, orders)
    heartbeat = Heartbeat(rt)

    def a_run() -> None:
        rt.enter("running", "2026-11-25T14:02:41.000Z", budget=60.0)
        rt.enter("idle", budget=60.0)

    found = {
        "a run's words in the black box": micros(a_run, int, 1000),
        "a heartbeat": micros(heartbeat._beat, lambda: os.read(read, 1 << 16), 100),
    }
    for name, took in found.items():
        print(f"{took:8.2f} µs  {name} (goal {GOALS[name]:g} µs){'' if took <= GOALS[name] else ': MISSED'}")
    return int(any(took > GOALS[name] for name, took in found.items()))


if __name__ == "__main__":
    sys.exit(main())
