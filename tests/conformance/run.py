"""The command: `python tests/conformance/run.py`: 200 random lives of the real driver, each lived again by the core.

The same events give the same actions, every action was carried out, and what the driver told was true. See judge.py.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from itertools import count
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(_ROOT), str(_ROOT / "tests")) if path not in sys.path]

from chaos.shared import command, say  # noqa: E402
from conformance.judge import Tally  # noqa: E402
from conformance.lives import live  # noqa: E402


def lives(seeds: Iterable[int], lanes: int) -> tuple[Tally, int]:
    """Live them, `lanes` beside each other. Raises the first AssertionError when all lanes have ended."""
    tally, lived, wrong = Tally(), count(), []
    waiting, lock = iter(seeds), threading.Lock()

    def walk() -> None:
        while not wrong:
            with lock:
                seed = next(waiting, None)
            if seed is None:
                return
            try:
                found = live(seed)
            except AssertionError as error:
                wrong.append(error)
                return
            with lock:
                tally.add(found)
                if (number := next(lived) + 1) % 20 == 0:
                    say(f"{number} lives, {tally.events.total()} events, {tally.actions.total()} actions")

    threads = [threading.Thread(target=walk) for _ in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]
    return tally, next(lived)


def _told(counts: Counter[str]) -> str:
    return f"{counts.total()}: " + ", ".join(f"{name} {number}" for name, number in counts.most_common())


def run(arguments: argparse.Namespace) -> Iterable[tuple[str, object]]:
    tally, lived = lives(range(arguments.seed, arguments.seed + arguments.lives), arguments.lanes)
    return [
        ("lives", lived),
        ("events in", _told(tally.events)),
        ("actions out", _told(tally.actions)),
        ("carried out", _told(tally.effects)),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[2])
    parser.add_argument("lives", nargs="?", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--lanes", type=int, default=2, help="so many lives beside each other")
    return command(run, parser)


if __name__ == "__main__":
    sys.exit(main())
