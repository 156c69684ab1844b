"""The command: `python tests/chaos/sigterms.py [N]`: SIGTERM at N random moments of a supervisor's life.

At the start, in a reload, while a child backs off, in the middle of runs, just after something was killed: each time
the whole tree is gone within the grace period and a second, and the exit code says whether something had to be killed.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(_ROOT), str(_ROOT / "tests")) if path not in sys.path]

from chaos.shared import Breach, Life, command, figures, life, now, say  # noqa: E402
from support.project import NOTE  # noqa: E402

GRACE = 1.0
CONFIG = """
[supervisor]
grace_period = "{grace:g}s"
backoff = {{ base = "50ms", max = "400ms", jitter = 0.2 }}
watch = false

[tasks.quick]
run = "mine:quick"
every = "200ms"

[tasks.crash]
run = "crash:never"
every = "1h"

[tasks.family]
run = "family:tick"
every = "1s"
"""
MORE = '\n[tasks.more]\nrun = "mine:quick"\nevery = "{every}ms"\n'
DEAF = '\n[tasks.deaf]\nrun = "deaf:tick"\nevery = "1h"\nrun_on_start = true\n'
CODE = {
    "mine": "def quick():\n    time.sleep(0.1)\n",
    "crash": "time.sleep(0.05)\nraise RuntimeError('always')\n",
    "family": """
import subprocess
subprocess.Popen(["setsid", "-f", "sleep", "600"])
subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 600"], start_new_session=True)


def tick():
    pass
""",
    "deaf": """
def tick():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note("deaf", os.getpid())
    while True:
        time.sleep(600)
""",
}
MOMENTS = ("start", "start", "run", "run", "reload", "broken reload", "backoff", "kill", "guard", "deaf")


@dataclass
class Tally:
    """What N signals did."""

    took: list[float] = field(default_factory=list)
    moments: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)


def one(living: Life, moment: str, rng: random.Random, slack: float) -> tuple[float, int]:
    """Let it live until that moment; return how long it took to be gone, and its exit code."""
    living.project.configure(CONFIG.format(grace=GRACE) + (DEAF if moment == "deaf" else ""))
    deaf = len(living.project.lines("deaf"))
    living.supervisor.start()
    if moment == "start":
        time.sleep(rng.uniform(0, 0.8))
    else:
        _settled(living, moment)
        _act(living, moment, rng)
    if moment == "deaf":
        _wait(lambda: len(living.project.lines("deaf")) > deaf)
    began = now()
    living.supervisor.terminate()
    code = living.supervisor.wait(GRACE + 1 + slack + 20)
    left = living.left()
    took = now() - began
    if left:
        raise Breach(f"{moment}: the supervisor ended with {code} and left {left}")
    if took > GRACE + 1 + slack:
        raise Breach(f"{moment}: gone after {took:.2f} s, with {code}\n{living.supervisor.stderr[-3000:]}")
    _judge(living, moment, code)
    return took, code


def _judge(living: Life, moment: str, code: int) -> None:
    """Before Python has set up the supervisor's handlers SIGTERM ends it as it ends any program."""
    said = living.supervisor.stderr
    early = moment == "start" and code == -signal.SIGTERM and "ctl.sock" not in said
    if not early and code != (1 if moment == "deaf" else 0):
        raise Breach(f"{moment}: exit code {code}\n{said[-3000:]}")


def _act(living: Life, moment: str, rng: random.Random) -> None:
    if "reload" in moment:
        text = CONFIG.format(grace=GRACE) + MORE.format(every=rng.randint(100, 999))
        living.project.configure(text + ("\n[tasks.bad]\n" if moment == "broken reload" else ""))
        living.signal([living.supervisor.pid], signal.SIGHUP)
        time.sleep(rng.uniform(0, 0.6))  # a helper reads it, then it is applied
    elif moment in ("kill", "guard"):
        living.signal(living.pids("guard" if moment == "guard" else rng.choice(("quick", "family"))), signal.SIGKILL)
        time.sleep(rng.uniform(0, 0.05))
    else:
        time.sleep(rng.uniform(0, 0.5))


def _settled(living: Life, moment: str) -> None:
    if moment == "backoff":
        living.supervisor.wait_child("crash", lambda child: child["restarts"] >= 2)
    else:
        for name in ("quick", "family"):
            living.supervisor.pid_of(name)


def _wait(condition: object) -> None:
    end = now() + 30
    while not condition():  # type: ignore[operator]
        if now() > end:
            raise Breach("the deaf run did not begin within 30 s")
        time.sleep(0.01)


def lane(tally: Tally, times: int, rng: random.Random, slack: float) -> None:
    """One project, one life after the other."""
    with life("", "") as living:
        for name, text in CODE.items():
            living.project.write(f"{name}.py", NOTE + text)
        for _ in range(times):
            moment = rng.choice(MOMENTS)
            took, code = one(living, moment, rng, slack)
            tally.took.append(took)
            tally.moments[moment] += 1
            tally.codes[code] += 1
            if len(tally.took) % 50 == 0:
                say(f"{len(tally.took)} signals: {figures(tally.took)}")


def signals(times: int, lanes: int, seed: int, slack: float = 0.0) -> Tally:
    """`lanes` projects beside each other. `slack`: seconds that a loaded machine may take more."""
    tally, wrong = Tally(), []

    def walk(number: int) -> None:
        try:
            lane(tally, times // lanes, random.Random(seed * 1000 + number), slack)
        except AssertionError as error:
            wrong.append(error)

    threads = [threading.Thread(target=walk, args=(number,)) for number in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]
    return tally


def run(arguments: argparse.Namespace) -> Iterable[tuple[str, object]]:
    tally = signals(arguments.times, arguments.lanes, arguments.seed, arguments.slack)
    return [
        ("SIGTERMs", len(tally.took)),
        ("at", ", ".join(f"{name} {count}" for name, count in sorted(tally.moments.items()))),
        ("exit codes", ", ".join(f"{code}: {count}" for code, count in sorted(tally.codes.items()))),
        (f"gone within {GRACE:g} s grace + 1 s", f"all; {figures(tally.took)}"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[2])
    parser.add_argument("times", nargs="?", type=int, default=1000)
    parser.add_argument("--lanes", type=int, default=1, help="so many projects beside each other")
    parser.add_argument("--slack", type=float, default=0.0, help="seconds that a loaded machine may take more")
    parser.add_argument("--seed", type=int, default=1)
    return command(run, parser)


if __name__ == "__main__":
    sys.exit(main())
