"""The command: `python tests/chaos/restarts.py [N]`: N restarts under one supervisor, which stays as it is.

Children end while they are imported, in a run, by SIGKILL and by order; the supervisor's descriptors, threads and
memory are the same after the first tenth as at the end.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(_ROOT), str(_ROOT / "tests")) if path not in sys.path]

from chaos.proc import Size, held, size  # noqa: E402
from chaos.shared import Breach, Life, command, life, now, say  # noqa: E402
from support.project import NOTE  # noqa: E402

CONFIG = """
[supervisor]
grace_period = "2s"
backoff = { base = "1ms", max = "2ms", jitter = 0.0 }
crash_loop = { count = 1000000, window = "1s" }
watch = false
log_max_bytes = "1MiB"
"""
TASK = '\n[tasks.{name}]\nrun = "{kind}:tick"\nevery = "1h"\nrun_on_start = true\n'
CODE = {
    "loading": "os._exit(3)\n",
    "running": "def tick():\n    os._exit(4)\n",
    "raising": "import subprocess\nsubprocess.Popen(['sleep', '600'])\nraise RuntimeError('always')\n",
    "healthy": "def tick():\n    pass\n",
}
CHILDREN = {"l1": "loading", "r1": "running", "x1": "raising", "h1": "healthy", "h2": "healthy"}
MEMORY = 4.0  # MiB that the supervisor may grow by between the first tenth and the end
STILL = 60.0  # seconds in which at least one restart must be seen


def config() -> str:
    return CONFIG + "".join(TASK.format(name=name, kind=kind) for name, kind in CHILDREN.items())


def restarts(living: Life, times: int, rng: random.Random) -> tuple[Size, Size, float]:
    """Return the supervisor's size after a tenth and at the end, and the seconds in between."""
    for name, code in CODE.items():
        living.project.write(f"{name}.py", NOTE + code)
    living.supervisor.start()
    living.supervisor.pid_of("h1")
    first: Size | None = None
    began, said, seen, moved = now(), 0, 0, now()
    while seen < times:
        _harm(living, rng)
        starts = sum(child["starts"] for child in living.children().values())
        moved = now() if starts > seen else moved
        seen = starts
        if now() > moved + STILL:
            raise Breach(f"no restart within {STILL:g} s, after {seen}")
        if first is None and seen >= times / 10:
            first, began = _settled(living), now()
        if seen - said >= max(times // 20, 1):
            said = seen
            say(f"{seen} starts: {size(living.supervisor.pid)}")
    assert first is not None
    took = now() - began
    return first, _settled(living), took


def _harm(living: Life, rng: random.Random) -> None:
    """One healthy child by SIGKILL, the other by order."""
    living.signal(living.pids("h1"), signal.SIGKILL)
    living.ask("POST", "/v1/children/h2/restart", {"now": rng.random() < 0.5})


def _settled(living: Life) -> Size:
    """With the children that never live switched off, so that each look finds the same ones."""
    names = [name for name, kind in CHILDREN.items() if kind != "healthy"]
    for name in names:
        assert living.ask("POST", f"/v1/children/{name}/disable", {"now": True})[0] == 200
    for name in names:
        living.supervisor.wait_child(name, lambda child: child["state"] == "stopped")
    for name in ("h1", "h2"):
        living.supervisor.pid_of(name)
    time.sleep(1.5)  # clients and helpers are gone, pipes read once
    found = size(living.supervisor.pid)
    for name in names:
        assert living.ask("POST", f"/v1/children/{name}/enable", {})[0] == 200
    return found


def compare(living: Life, before: Size, after: Size) -> None:
    if after.descriptors != before.descriptors or after.threads != before.threads:
        raise Breach(f"it held {before} and holds {after}: {held(living.supervisor.pid)}")
    if after.rss > before.rss + MEMORY:
        raise Breach(f"its memory grew from {before.rss:.1f} to {after.rss:.1f} MiB")


def run(arguments: argparse.Namespace) -> Iterable[tuple[str, object]]:
    with life(config(), "") as living:
        before, after, took = restarts(living, arguments.times, random.Random(arguments.seed))
        compare(living, before, after)
        zombies = [seen for seen in living.tree.look().values() if seen.dead]
    return [
        ("restarts", arguments.times),
        ("descriptors", f"{before.descriptors} → {after.descriptors}"),
        ("threads", f"{before.threads} → {after.threads}"),
        ("memory", f"{before.rss:.1f} → {after.rss:.1f} MiB"),
        ("zombies at the end", len(zombies)),
        ("restarts a second", f"{arguments.times * 0.9 / took:.0f}"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[2])
    parser.add_argument("times", nargs="?", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    return command(run, parser)


if __name__ == "__main__":
    sys.exit(main())
