"""The starts of scheduled jobs as numbers, as a Markdown table, and in README.md."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from pathlib import Path

Figures = dict[str, float]
START, END = "<!-- schedule benchmark -->", "<!-- /schedule benchmark -->"
COMMAND = "`.venv/bin/python benchmarks/scheduling.py` measures it again, on your machine."
LOAD = 0.5  # above it somebody else takes part
TITLES = {
    "forkwarden": "forkwarden",
    "sleep_1": "`schedule`, `sleep(1)`",
    "idle_seconds": "`schedule`, `sleep(idle_seconds)`",
    "apscheduler": "APScheduler 3",
    "celery": "Celery beat",
}
GRID = {"forkwarden": 0.0, "apscheduler": 0.5}  # of the second; the others have none
FEW = 5  # of their first starts, of which the earliest is taken for it


def figures(kind: str, at: Sequence[float], begin: float, end: float, work: float, cost: float) -> Figures:
    """Lateness, slots lost and drift of the starts in [begin, end). Milliseconds, save what is counted."""
    at = [t for t in at if begin <= t < end]
    if not at:
        return {}
    grid = GRID.get(kind, min(t - number for number, t in enumerate(at[:FEW])))
    late = sorted((t - grid) % 1.0 for t in at)
    early = [each for each in late if each > 0.999]  # before its slot: no lateness, but no promise kept either
    steps = [round(b - a) for a, b in itertools.pairwise(at)]
    possible = (end - begin) / max(1.0, 1.0 if work < 1 else 2.0)
    return {
        "p50": 1000 * statistics.median(late),
        "p95": 1000 * _part(late, 0.95),
        "p99": 1000 * _part(late, 0.99),
        "max": 1000 * late[-1],
        "early": len(early) if kind in GRID else 0,
        "lost": max(0, round(possible) - len(at)),
        "drift": 1000 * ((at[-1] - at[0]) - sum(steps)),
        "cost": 1000 * cost,
    }


def table(found: dict[str, dict[str, Figures]], slots: int, load: float) -> str:
    noisy = f"Load average {load:.1f} before it: not a quiet machine.\n" if load > LOAD else ""
    rows = [
        "| | work of the job | start late, ms: p50 / p95 / p99 / max | slots lost | drift, ms | CPU a run, ms |",
        "|---|---|---|---|---|---|",
    ]
    rows += [_row(TITLES[kind], work, f) for kind, works in found.items() for work, f in works.items()]
    early = sum(f.get("early", 0) for works in found.values() for f in works.values())
    return (
        f"A job every second, {slots} slots of each, all side by side. One of 1,200 ms can start every other second.\n"
        f"Starts before their slot: {early:.0f}. The CPU is that of all processes of a product, divided by its runs.\n"
        f"{noisy}\n" + "\n".join(rows) + "\n"
    )


def _row(title: str, work: str, f: Figures) -> str:
    if not f:
        return f"| {title} | {work} | never started | | | |"
    late = " / ".join(f"{f[key]:.1f}" for key in ("p50", "p95", "p99", "max"))
    return f"| {title} | {work} | {late} | {f['lost']:.0f} | {f['drift']:.0f} | {f['cost']:.1f} |"


def many(kept: Sequence[Sequence[float]], left_out: Sequence[Sequence[float]], tasks: int) -> str:
    """Each is one run: how late it began, and what the writes before it took."""
    with_ledger, without = (sorted(line[0] for line in lines) for lines in (kept, left_out))
    writes = sorted(each for line in kept for each in line[1:])
    if not with_ledger or not without or not writes:
        return f"\n{tasks} tasks of every second at once: they did not run.\n"
    late, bare = _late(with_ledger), _late(without)
    wrote = " / ".join(f"{1000 * _part(writes, share):.2f}" for share in (0.5, 0.99))
    return (
        f"\n{tasks} tasks of every second, all due at the same instant, {len(with_ledger):,} runs:\n"
        f"start late p50 / p99 {late} ms; without their ledgers {bare} ms.\n"
        f"A write to a ledger took p50 / p99 {wrote} ms meanwhile.\n"
    )


def _late(found: Sequence[float]) -> str:
    return " / ".join(f"{1000 * _part(found, share):.1f}" for share in (0.5, 0.99))


def _part(values: Sequence[float], share: float) -> float:
    return values[int(share * (len(values) - 1))]


def write_readme(text: str) -> None:
    path = Path(__file__).parent.parent / "README.md"
    whole = path.read_text()
    before, _, rest = whole.partition(START)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"README.md: expected {START} and {END}")
    path.write_text(f"{before}{START}\n{COMMAND}\n\n{text}{END}{after}")
