"""The command: `python tests/chaos/parent_kills.py [N]`: kill -9 of the supervisor, N times.

Each process of a child takes a lock that its grandchildren hold too, plain and daemonised ones: a second copy, at
whatever moment, meets it. Half of the kills are followed by a start at once, half by a look how long the tree lives.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(_ROOT), str(_ROOT / "tests")) if path not in sys.path]

from chaos import proc  # noqa: E402
from chaos.shared import Breach, Life, command, figures, life, now, say  # noqa: E402
from support.project import FAST, NOTE  # noqa: E402

CHILDREN = ("plain", "family", "busy", "deaf")
TASK = '\n[tasks.{name}]\nrun = "{name}:tick"\nevery = "1s"\n'
CONFIG = FAST + "".join(TASK.format(name=name) for name in CHILDREN)
LOCK = (
    NOTE
    + """
import fcntl, subprocess

NAME = __name__
lock = os.open(os.path.join(HERE, NAME + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
os.set_inheritable(lock, True)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    note("twice", f"{NAME} {os.getpid()}")
"""
)
CODE = {
    "plain": "def tick():\n    time.sleep(0.2)\n",
    "family": """
subprocess.Popen(["sleep", "600"], close_fds=False)
subprocess.Popen(["setsid", "-f", "sleep", "600"], close_fds=False)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)


def tick():
    pass
""",
    "busy": "def tick():\n    end = time.monotonic() + 0.6\n    while time.monotonic() < end:\n        pass\n",
    "deaf": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\ndef tick():\n    time.sleep(5)\n",
}
GONE_WITHIN = 5.0  # seconds after which what lives is an orphan
GOAL = 0.1  # seconds, p99 on a quiet machine


def kills(living: Life, times: int, rng: random.Random) -> tuple[list[float], list[float]]:
    """Return the seconds until the tree was gone, and those until a new one was ready."""
    for name in CHILDREN:
        living.project.write(f"{name}.py", LOCK + CODE[name])
    gone, back = [], []
    living.supervisor.start()
    for number in range(times):
        began = now()
        living.wait_ready()
        back.append(now() - began)
        time.sleep(rng.uniform(0, 0.2))
        if number % 2:
            _killed(living, times=rng.choice((1, 1, 2)))
        else:
            gone.append(_measured(living))
            living.supervisor.start()
        if number % 20 == 19:
            say(f"{number + 1} kills: gone {figures(gone)}")
    living.wait_ready()
    if twice := living.project.lines("twice"):
        raise Breach(f"a second copy ran: {twice}")
    if len({seen.run_id for seen in living.left()}) != 1:
        raise Breach(f"orphans of earlier lives: {living.left()}")
    return gone, back[1:]


def _killed(living: Life, times: int) -> None:
    """Kill and start at once; with 2, kill that one while it begins."""
    for number in range(times):
        if number:
            time.sleep(0.3)
        living.supervisor.kill()
        living.supervisor.start()


def _measured(living: Life) -> float:
    before = living.pids()
    began = now()
    os.kill(living.supervisor.pid, signal.SIGKILL)
    while proc.any_alive(before):
        if now() > began + GONE_WITHIN:
            raise Breach(f"orphans after {GONE_WITHIN:g} s: {living.left()}")
        time.sleep(0.0005)
    took = now() - began
    living.supervisor.process.wait(10)
    if left := living.left():  # what was forked after we looked
        living.wait_gone(GONE_WITHIN)
        took = now() - began
        say(f"{len(left)} that were forked meanwhile are gone after {took * 1000:.0f} ms")
    return took


def run(arguments: argparse.Namespace) -> Iterable[tuple[str, object]]:
    with life(CONFIG, "") as living:
        gone, back = kills(living, arguments.times, random.Random(arguments.seed))
    within = "reached" if sorted(gone)[int(len(gone) * 0.99)] <= GOAL else "missed"
    return [
        ("kill -9 of the supervisor", arguments.times),
        ("orphans", 0),
        ("second copies", 0),
        ("the tree gone", f"{figures(gone)}; p99 ≤ {GOAL * 1000:.0f} ms: {within}"),
        ("ready again after the start", figures(back)),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[2])
    parser.add_argument("times", nargs="?", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    return command(run, parser)


if __name__ == "__main__":
    sys.exit(main())
