"""The command: `python tests/effects/run.py`: fail the Nth effect of the supervisor, for N from 1 to the last.

A clean life counts them; then one life for each, in which that one fails. `--only EFFECT` lives one of them again.
The table says for each place in the code what came of it: every promise kept, a start refused, or an end with 70.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(_ROOT), str(_ROOT / "tests")) if path not in sys.path]

from chaos.shared import Breach, command, say  # noqa: E402
from effects.scenario import Lived, live  # noqa: E402

Came = dict[str, Lived | AssertionError]


def sample(effects: Iterable[str], count: int) -> list[str]:
    """Return `count` of them, the same ones each time: the first at every place, evenly over all places."""
    first = sorted(effect for effect in effects if effect.endswith("#1"))
    step = max(1.0, len(first) / count)
    return [first[int(number * step)] for number in range(min(count, len(first)))]


def all_of(effects: Iterable[str], lanes: int, tell: bool = False) -> Came:
    """Live one life for each of them, `lanes` beside each other."""
    came: Came = {}
    waiting = iter(effects)
    lock = threading.Lock()

    def walk() -> None:
        while effect := _next(waiting, lock):
            try:
                came[effect] = live(effect)
            except AssertionError as error:
                came[effect] = error
            if tell:
                _tell(effect, came)

    threads = [threading.Thread(target=walk) for _ in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return came


def _next(waiting: Iterator[str], lock: threading.Lock) -> str | None:
    with lock:
        return next(waiting, None)


def _tell(effect: str, came: Came) -> None:
    found = came[effect]
    if isinstance(found, AssertionError):
        say(f"{len(came)}: {effect}: BREACH: {found}")
    elif found.end != "kept":
        say(f"{len(came)}: {effect}: {found.end}")
    elif len(came) % 50 == 0:
        say(f"{len(came)} lives")


def run(arguments: argparse.Namespace) -> Iterable[tuple[str, object]]:
    effects = [arguments.only] if arguments.only else list(live("").effects)[arguments.first - 1 :]
    say(f"{len(effects)} effects")
    came = all_of(effects, arguments.lanes, tell=True)
    wrong = [effect for effect, found in came.items() if isinstance(found, AssertionError)]
    if wrong:
        raise Breach(f"{len(wrong)} of {len(effects)}: {' '.join(wrong)}")
    return report(came)


def report(came: Came) -> list[tuple[str, object]]:
    lived = {effect: found for effect, found in came.items() if isinstance(found, Lived)}
    places: dict[str, Counter[str]] = defaultdict(Counter)
    for effect, found in lived.items():
        missed = "" if found.had(effect) else " (did not come so far)"
        places[effect.partition("#")[0]][found.end + missed] += 1
    rows = [(place, ", ".join(f"{end}: {n}" for end, n in ends.items())) for place, ends in sorted(places.items())]
    total = Counter(found.end for found in lived.values())
    return [*rows, ("all", ", ".join(f"{end}: {number}" for end, number in total.items()))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[2])
    parser.add_argument("--only", metavar="EFFECT", help="as the list of a failed run names it")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="begin with the Nth effect")
    parser.add_argument("--lanes", type=int, default=2, help="so many lives beside each other")
    return command(run, parser)


if __name__ == "__main__":
    sys.exit(main())
