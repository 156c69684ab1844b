"""A job every second here, in `schedule` (both usual loops), APScheduler 3 and Celery beat, all in one run.

    .venv/bin/python benchmarks/scheduling.py [--slots 600] [--write-readme]

Lateness is the time from a slot of the product's own grid (ours and APScheduler's: whole seconds; the others': their
first start) to the first line of the job. Lost: seconds without a start. Drift: by how much the last start is off
the grid of the first, with what was lost taken out. Then 200 tasks at once: how late ours start, what a run costs.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE.parent / ".bench" / "schedule-venv"
README = HERE.parent / "README.md"
BEGIN, END = "<!-- schedule benchmark -->\n", "<!-- /schedule benchmark -->"
PEERS = {
    "sleep_1": "schedule, sleep(1)",
    "idle_seconds": "schedule, idle_seconds",
    "apscheduler": "APScheduler 3",
    "celery": "Celery beat",
}
OURS = "forkwarden"
WORK = {"0 ms": 0.0, "50 ms": 0.05, "1,200 ms": 1.2}


def main() -> int:
    options = _options()
    _peers()
    folder = Path(tempfile.mkdtemp(prefix="bench-schedule-", dir="/tmp"))
    try:
        found = _measure(folder, options.slots)
        many = _many(folder / "many", min(options.slots, 60))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = _table(found, options.slots) + _about(many)
    print(text)
    if options.write_readme:
        readme = README.read_text()
        before, after = readme.split(BEGIN)[0], readme.split(END)[1]
        README.write_text(f"{before}{BEGIN}{text}{END}{after}")
    return 0


def _peers() -> None:
    if not (VENV / "bin" / "celery").exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        subprocess.run([str(VENV / "bin" / "pip"), "install", "-q", "schedule", "apscheduler<4", "celery"], check=True)


def _measure(folder: Path, slots: int) -> dict[str, dict[str, dict[str, float]]]:
    """All of them side by side: each is idle nearly always."""
    running = [_ours(folder, list(WORK.values()))]
    for kind in PEERS:
        for number, work in enumerate(WORK.values()):
            command = [
                str(VENV / "bin" / "python"),
                str(HERE / "scheduling_peers.py"),
                kind,
                f"{folder}/{kind}{number}",
            ]
            running.append(subprocess.Popen([*command, str(work)], cwd=folder, stdout=-3, stderr=-3))
    try:
        time.sleep(5)  # all have begun
        begin = time.time()
        for left in range(slots, 0, -10):
            print(f"\r{left} s left ", end="", file=sys.stderr, flush=True)
            time.sleep(min(10, left))
        end = time.time()
    finally:
        _end(running)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for number, (name, work) in enumerate(WORK.items()):
        for kind, title in {"ours": OURS, **PEERS}.items():
            at = [float(line) for line in (folder / f"{kind}{number}").read_text().split()]
            whole = kind in ("ours", "apscheduler")
            found.setdefault(title, {})[name] = _figures(
                [t for t in at if begin <= t < end], end - begin, work, whole=whole
            )
    return found


def _ours(folder: Path, works: list[float]) -> subprocess.Popen[bytes]:
    code, config = "import time\n\n\n", "[supervisor]\nwatch = false\n"
    for number, work in enumerate(works):
        code += (
            f"def t{number}():\n    now = time.time()\n    with open({str(folder)!r} + '/ours{number}', 'a') as file:\n"
            f"        file.write(f'{{now}}\\n')\n    time.sleep({work})\n\n\n"
        )
        config += f'[tasks.t{number}]\nrun = "mine:t{number}"\nevery = "1s"\n'
    return _start(folder / "project", code, config)


def _start(project: Path, code: str, config: str) -> subprocess.Popen[bytes]:
    project.mkdir(parents=True)
    (project / "mine.py").write_text(code)
    (project / "config.toml").write_text(config)
    command = [str(Path(sys.executable).parent / "supervisor"), "start"]
    return subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _end(running: list[subprocess.Popen[bytes]]) -> None:
    for each in running:
        each.send_signal(signal.SIGTERM)
    for each in running:
        try:
            each.wait(15)
        except subprocess.TimeoutExpired:
            each.kill()
            each.wait()


def _figures(at: list[float], seconds: float, work: float, *, whole: bool) -> dict[str, float]:
    base = 0.0 if whole else at[0]
    late = sorted((t - base) % 1.0 for t in at)
    late = [each if each < 0.999 else each - 1.0 for each in late]  # a start a hair before its grid: clocks
    steps = [round(b - a) for a, b in itertools.pairwise(at)]
    return {
        "p50": 1000 * statistics.median(late),
        "p99": 1000 * sorted(late)[int(0.99 * (len(late) - 1))],
        "max": 1000 * max(late),
        "lost": max(0.0, round(seconds / max(1.0, 1.0 if work < 1 else 2.0)) - len(at)),
        "drift": 1000 * ((at[-1] - at[0]) - sum(steps)) if steps else 0.0,
    }


def _many(project: Path, seconds: int) -> dict[str, float]:
    """200 tasks of every second: all fall due at the same moment."""
    config = "[supervisor]\nwatch = false\n" + "".join(
        f'[tasks.t{number}]\nrun = "mine:tick"\nevery = "1s"\n' for number in range(200)
    )
    running = _start(project, "def tick():\n    pass\n", config)
    try:
        time.sleep(10 + seconds)
    finally:
        _end([running])
    late: list[float] = []
    for path in sorted((project / ".supervisor" / "history").glob("*.db")):
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        late += [row[0] for row in db.execute("SELECT lateness FROM run WHERE state = 'ok' AND lateness IS NOT NULL")]
        db.close()
    late.sort()
    return {"p50": 1000 * statistics.median(late), "p99": 1000 * late[int(0.99 * (len(late) - 1))], "runs": len(late)}


def _table(found: dict[str, dict[str, dict[str, float]]], slots: int) -> str:
    rows = [
        f"A job every second, {slots} slots, one run (`benchmarks/scheduling.py`; load {os.getloadavg()[0]:.1f}):\n",
        "| | work | late p50 / p99 / max, ms | lost | drift, ms |\n|---|---|---|---|---|\n",
    ]
    for title, kinds in found.items():
        for work, f in kinds.items():
            late = f"{f['p50']:.1f} / {f['p99']:.1f} / {f['max']:.0f}"
            rows.append(f"| {title} | {work} | {late} | {f['lost']:.0f} | {f['drift']:.0f} |\n")
    return rows[0] + "\n" + "".join(rows[1:])


def _about(many: dict[str, float]) -> str:
    late = f"late p50 {many['p50']:.0f} ms, p99 {many['p99']:.0f} ms"
    return (
        "\nA job of 1,200 ms can start every other second only. 200 tasks of every second at once, each run\n"
        f"written to its ledger: {many['runs']:.0f} runs, {late} on two cores.\n"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, default=600)
    parser.add_argument("--write-readme", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
