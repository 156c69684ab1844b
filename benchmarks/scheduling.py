"""A job every second here, in `schedule` (both usual loops), APScheduler 3 and Celery beat, all in one run.

    .venv/bin/python benchmarks/scheduling.py [--slots 600] [--products forkwarden,apscheduler,…] [--write-readme]

All products run side by side for the same minutes, so that they have the same noise; each idles nearly always. Those
that start at whole seconds start at another part of the second than the others, so that they do not wait for each
other's cores; the three jobs of one product start at the same instant. Then, alone on the machine: 200 of our tasks at
once, with their ledgers and without. 600 slots take 14 minutes in all.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from processes import below, busy, wait_for
from scheduling_report import Figures, figures, many, table, write_readme

HERE = Path(__file__).resolve().parent
VENV = HERE.parent / ".bench" / "schedule-venv"
PEERS = ("apscheduler", "sleep_1", "idle_seconds", "celery")
OURS = "forkwarden"
WORK = {"0 ms": 0.0, "50 ms": 0.05, "1,200 ms": 1.2}
SETTLE = 8.0  # seconds after the last has begun
PATIENCE = 20.0  # seconds for a first job
TASKS = 200
Running = list[subprocess.Popen[bytes]]


def main() -> int:
    options = _options()
    if options.products != OURS:
        _peers()
    folder = Path(tempfile.mkdtemp(prefix="bench-schedule-", dir="/tmp"))
    load = os.getloadavg()[0]
    try:
        found = _measure(folder, options.products.split(","), options.slots)
        seconds = min(options.slots, 60)
        crowd = {kept: _many(folder / f"many-{kept}", seconds, kept) for kept in ("kept", "not kept")}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = table(found, options.slots, load) + many(crowd["kept"], crowd["not kept"], TASKS)
    print(text)
    if options.write_readme:
        write_readme(text)
    return 0


def _peers() -> None:
    if not (VENV / "bin" / "celery").exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        subprocess.run([str(VENV / "bin" / "pip"), "install", "-q", "schedule", "apscheduler<4", "celery"], check=True)


def _measure(folder: Path, products: list[str], slots: int) -> dict[str, dict[str, Figures]]:
    running = {kind: _started(folder, kind) for kind in products}
    try:
        time.sleep(SETTLE)
        begin, before = time.time(), {kind: _cpu(running[kind]) for kind in products}
        for left in range(slots, 0, -10):
            print(f"\r{left} s left ", end="", file=sys.stderr, flush=True)
            time.sleep(min(10, left))
        end, after = time.time(), {kind: _cpu(running[kind]) for kind in products}
        time.sleep(2)  # who is late has said so by then
    finally:
        _end([each for some in running.values() for each in some])
    found: dict[str, dict[str, Figures]] = {}
    for kind in products:
        starts = {work: _starts(folder / f"{kind}{number}") for number, work in enumerate(WORK)}
        inside = sum(begin <= t < end for at in starts.values() for t in at)
        cost = (after[kind] - before[kind]) / max(1, inside)
        found[kind] = {work: figures(kind, at, begin, end, WORK[work], cost) for work, at in starts.items()}
    return found


def _started(folder: Path, kind: str) -> Running:
    if kind == OURS:
        return [_ours(folder)]
    return [_peer(kind, folder / f"{kind}{number}", work) for number, work in enumerate(WORK.values())]


def _peer(kind: str, file: Path, work: float) -> subprocess.Popen[bytes]:
    """Start it and wait for its first job; Celery's beat, started beside others, sometimes never begins."""
    command = [str(VENV / "bin" / "python"), str(HERE / "scheduling_peers.py"), kind, str(file), str(work)]
    for _ in range(3):
        made = subprocess.Popen(command, cwd=file.parent, stdout=-3, stderr=-3)
        if wait_for(file.exists, PATIENCE, every=0.05):
            return made
        _end([made])
    raise SystemExit(f"{kind} did not start")


def _cpu(running: Running) -> float:
    """Seconds that these and what they started have used so far."""
    return sum(busy(pid).seconds for each in running for pid in (each.pid, *below(each.pid)))


def _starts(path: Path) -> list[float]:
    return [float(line) for line in path.read_text().split()]


def _ours(folder: Path) -> subprocess.Popen[bytes]:
    code, config = "import time\n\n\n", ""
    for number, work in enumerate(WORK.values()):
        code += (
            f"def t{number}():\n    now = time.time()\n    with open('{folder}/{OURS}{number}', 'a') as file:\n"
            f"        file.write(f'{{now}}\\n')\n    time.sleep({work})\n\n\n"
        )
        config += f'[tasks.t{number}]\nrun = "mine:t{number}"\nevery = "1s"\n'
    return _start(folder / "project", code, config)


def _start(project: Path, code: str, config: str) -> subprocess.Popen[bytes]:
    project.mkdir(parents=True)
    (project / "mine.py").write_text(code)
    (project / "config.toml").write_text(f"[supervisor]\nwatch = false\n{config}")
    command = [str(Path(sys.executable).parent / "supervisor"), "start"]
    return subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _end(running: Running) -> None:
    for each in running:
        each.send_signal(signal.SIGTERM)
    for each in running:
        try:
            each.wait(15)
        except subprocess.TimeoutExpired:
            each.kill()
            each.wait()


# What each task notes: how late it began, and what its two writes to the ledger took. "not kept": they are left out.
_MANY = """
import os, time
from supervisor.child.schedule.store import Store

notes = open({folder!r} + f"/{{os.getpid()}}", "ab", buffering=0)
put, took = Store._put, []

def timed(self, row):
    begun = time.perf_counter()
    put(self, row)
    took.append(time.perf_counter() - begun)

Store._put = timed if {kept} else lambda self, row: None

def tick(ctx):
    late = time.time() - ctx.slot
    notes.write(f"{{late}} {{' '.join(map(str, took))}}\\n".encode())
    took.clear()
"""


def _many(project: Path, seconds: int, kept: str) -> list[list[float]]:
    """200 tasks of every second, which all fall due at the same moment: of each run, lateness and writes before it."""
    notes = project / "notes"
    notes.mkdir(parents=True)
    config = "".join(f'[tasks.t{number}]\nrun = "mine:tick"\nevery = "1s"\n' for number in range(TASKS))
    running = _start(project / "project", _MANY.format(folder=str(notes), kept=kept == "kept"), config)
    try:
        time.sleep(15)  # all have begun, and found how long they need
        skipped = {path: path.stat().st_size for path in notes.iterdir()}
        time.sleep(seconds)
    finally:
        _end([running])
    lines = [line for path in notes.iterdir() for line in path.read_bytes()[skipped.get(path, 0) :].splitlines()]
    return [[float(number) for number in line.split()] for line in lines]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, default=600)
    parser.add_argument("--products", default=",".join((OURS, *PEERS)), help="some of them, for trying it out")
    parser.add_argument("--write-readme", action="store_true", help="put the table into README.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
