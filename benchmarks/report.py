"""The numbers as a Markdown table with ratios, on the terminal and in README.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

Results = dict[str, Any]
Numbers = Mapping[str, float | str]
LOAD = 0.5  # above it somebody else takes part
START, END = "<!-- benchmark -->", "<!-- /benchmark -->"
COMMAND = "`.venv/bin/python benchmarks/supervision.py` measures it again, on your machine."

# part, key, what it is, digits
_ROWS = (
    ("light", "start", "start until all {n} are ready, s", 2),
    ("light", "kill_p50", "`kill -9` → replacement ready, ms: median", 1),
    ("light", "kill_p99", "… 99th percentile", 1),
    ("light", "child_uss", "memory of a child alone (USS), MiB", 1),
    ("light", "child_pss", "… with its share of what is shared (PSS)", 1),
    ("light", "parent_pss", "memory of the supervisor itself (PSS), MiB", 1),
    ("light", "parent_cpu", "CPU of the idle supervisor, % of a core", 2),
    ("light", "parent_wakes", "… its wake-ups a second", 1),
    ("light", "tree_cpu", "CPU of everything idle, % of a core", 2),
    ("light", "stop", "SIGTERM until all {n} are gone, s", 2),
    ("light", "status", "`status`, the whole command, s", 3),
    ("heavy", "start", "{heavy} heavy children: start until ready, s", 2),
    ("heavy", "kill_p50", "… `kill -9` → replacement ready, ms: median", 1),
    ("heavy", "kill_p99", "… 99th percentile", 1),
    ("heavy", "all_pss", "… memory of everything, MiB", 0),
    ("heavy", "child_uss", "… memory of a child alone (USS), MiB", 1),
    ("heavy", "stop", "… SIGTERM until all are gone, s", 2),
    ("orphans", "left_soon", "alive 0.1 s after `kill -9` of the supervisor, of {heavy}", 0),
    ("orphans", "left_late", "… 10 s after", 0),
    ("ill", "frozen", "frozen (SIGSTOP), seen after, s", 1),
    ("ill", "spinning", "spinning, seen after, s", 1),
    ("ill", "deadlocked", "deadlocked, seen after, s", 1),
    ("ill", "holds the GIL", "holds the GIL, seen after, s", 1),
)


def table(results: Results) -> str:
    """Return the Markdown table; a peer's number has its ratio to ours behind it."""
    parts, n = results["parts"], results["settings"]["n"]
    names = list(dict.fromkeys(name for part in parts.values() for name in part))
    lines = [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for part, key, title, digits in _ROWS:
        numbers = {name: parts.get(part, {}).get(name, {}).get(key) for name in names}
        if any(value is not None for value in numbers.values()):
            cells = [_cell(numbers[name], numbers.get(names[0]), digits, first=name == names[0]) for name in names]
            lines.append(f"| {title.format(n=n, heavy=min(n, 20))} | {' | '.join(cells)} |")
    return "\n".join([*lines, *_notes(results)])


def _notes(results: Results) -> list[str]:
    failed = [
        f"{name}, {part}: {numbers['failed']}"
        for part, products in results["parts"].items()
        for name, numbers in products.items()
        if "failed" in numbers
    ]
    notes = ["", results["machine"] + ".", *failed]
    crowd = results["parts"].get("crowd", {}).get("forkwarden", {})
    if "start" in crowd:
        costs = f"cost the idle supervisor {crowd['parent_cpu']:.2f} % of a core with a heartbeat a second each"
        ends = f"are gone {crowd['stop']:.2f} s after SIGTERM"
        count = 10 * results["settings"]["n"]
        notes.append(f"{count} children are ready {crowd['start']:.1f} s after the start, {costs}, and {ends}.")
    if (most := max(results["loads"], default=0.0)) > LOAD:
        notes.append(f"Load average up to {most:.1f} before a part: not a quiet machine.")
    return notes


def _cell(value: float | str | None, ours: float | str | None, digits: int, *, first: bool) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    text = f"{value:.{digits}f}"
    if first or not isinstance(ours, int | float) or not ours:
        return f"**{text}**" if first else text
    ratio = value / ours
    return f"{text} (×{ratio:.0f})" if ratio >= 10 else f"{text} (×{ratio:.1f})"


def write_readme(results: Results) -> None:
    path = Path(__file__).parent.parent / "README.md"
    text = path.read_text()
    before, _, rest = text.partition(START)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"README.md: expected {START} and {END}")
    path.write_text(f"{before}{START}\n{COMMAND}\n\n{table(results)}\n{END}{after}")
