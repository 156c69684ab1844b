"""The command: `python tests/simulation/run.py`: ten million steps on all cores; `--replay SEED`: one life, told.

On a failure it narrows the faults down to those that are needed, and prints what the child at fault went through.
How many processes share the work changes nothing in what comes out: the seeds are taken, and judged, in order.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(_ROOT), str(_ROOT / "tests")) if path not in sys.path]

from simulation.simulator import Life, Simulator  # noqa: E402
from simulation.world import FAULTS  # noqa: E402
from supervisor.core.lifecycle.fleet import Fleet  # noqa: E402

TRACE = 60  # lines
STEPS = 10_000_000
WAVE = 64  # seeds a process: the last ones of a wave leave a core idle for a moment


def lives(steps: int, seed: int, fleet: Callable[..., Any] = Fleet) -> Iterator[Life]:
    """Live one seed after the other until so many steps were taken or a promise is broken."""
    return until((Simulator(each, fleet=fleet).run() for each in count(seed)), steps)


def until(lived: Iterable[Life], steps: int) -> Iterator[Life]:
    """Take as many lives as make up so many steps; a broken promise is the last one."""
    for life in lived:
        yield life
        steps -= life.steps
        if life.failure or steps <= 0:
            return


def lives_in(processes: int, steps: int, seed: int) -> Iterator[Life]:
    """The same lives in the same order, lived in so many processes."""
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        waves = (pool.imap(live, range(first, first + WAVE * processes)) for first in count(seed, WAVE * processes))
        yield from until((life for wave in waves for life in wave), steps)


def live(seed: int) -> Life:
    return Simulator(seed).run()


def narrowed(life: Life, fleet: Callable[..., Any] = Fleet) -> tuple[Life, list[str]]:
    """Live a failed seed again with as few kinds of faults as still make it fail. Returns it and the faults left."""
    off: frozenset[str] = frozenset()
    for fault in FAULTS:
        again = Simulator(life.seed, fleet=fleet, off=off | {fault}).run()
        if again.failure == life.failure:
            off |= {fault}
    return Simulator(life.seed, fleet=fleet, off=off, record=True).run(), [f for f in FAULTS if f not in off]


def telling(lines: list[str]) -> list[str]:
    """Without the looks that led to nothing."""
    return [
        line for line, after in zip(lines, [*lines[1:], ""], strict=True) if "← Pulse" not in line or "  → " in after
    ]


def explained(life: Life, fleet: Callable[..., Any] = Fleet) -> str:
    least, faults = narrowed(life, fleet)
    lines = telling([line for child, line in least.trace if child in ("", least.child)])
    return "\n".join([
        f"seed {life.seed} broke a promise after {life.steps} steps: {life.child}: {life.failure}",
        f"with these faults only it still does, after {least.steps} steps: {' '.join(faults) or 'none'}",
        *lines[-TRACE:],
        f"again: python tests/simulation/run.py --replay {life.seed}",
    ])  # fmt: skip


def replay(seed: int) -> int:
    life = Simulator(seed, record=True).run()
    print(*(line for _, line in life.trace), sep="\n")
    verdict = life.failure or "every promise kept"
    print(f"seed {seed}: {life.steps} steps, digest {life.digest & (2**64 - 1):016x}, {verdict}")
    return 1 if life.failure else 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Live random lives of the supervisor and hold them to the promises.")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--replay", type=int, metavar="SEED", help="live this one again and write everything out")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args(arguments)
    if given.replay is not None:
        return replay(given.replay)
    began, steps, seeds, virtual, digest = time.monotonic(), 0, 0, 0.0, 0
    for life in lives_in(given.processes, given.steps, given.seed):
        steps, seeds, virtual = steps + life.steps, seeds + 1, virtual + life.virtual
        digest = hash((digest, life.digest))
        if life.failure:
            print(explained(life))
            return 1
    took = max(time.monotonic() - began, 1e-9)
    lived = f"{steps} steps, {seeds} seeds, {virtual / 3600:.1f} h of virtual time, digest {digest & (2**64 - 1):016x}"
    print(f"{lived}, in {took:.0f} s ({steps / took:.0f} steps/s): every promise kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
