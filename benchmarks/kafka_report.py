"""The numbers of kafka.py as Markdown tables, on the terminal and in README.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Results = dict[str, Any]
START, END = "<!-- kafka benchmark -->", "<!-- /kafka benchmark -->"
COMMAND = "`.venv/bin/python benchmarks/kafka.py` measures it again, on your machine."
LOAD = 0.5  # above it somebody else takes part
_SPEEDS = ("noop ×1", "json ×1", "sqlite ×1", "json ×2", "sqlite ×2")
_HEADS = ("no-op", "JSON", "one SQLite insert", "JSON, 2 processes", "SQLite, 2 processes")


def table(results: Results) -> str:
    products: dict[str, Results] = results["products"]
    return "\n".join([*_speed(products), "", *_harm(products), "", *_notes(results)])


def _speed(products: dict[str, Results]) -> list[str]:
    heads = dict(zip(_SPEEDS, _HEADS, strict=True))
    shown = [name for name in _SPEEDS if any(name in numbers for numbers in products.values())]
    titles = ["thousand records a second · CPU seconds a million", *(heads[name] for name in shown), "PSS / USS, MiB"]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for title, numbers in products.items():
        cells = [_pace(numbers.get(name)) for name in shown]
        lines.append(f"| {title} | {' | '.join(cells)} | {_memory(numbers)} |")
    return lines if shown else []


def _pace(numbers: Any) -> str:
    if isinstance(numbers, dict):
        rate, cpu = numbers["rate"] / 1000, numbers["cpu"]
        return f"{rate:.0f} · {cpu:.1f}" if rate >= 20 else f"{rate:.1f} · {cpu:.0f}"
    return "–" if numbers is None else "failed"


def _memory(numbers: Results) -> str:
    return f"{numbers['pss']:.0f} / {numbers['uss']:.0f}" if "pss" in numbers else "–"


def _harm(products: dict[str, Results]) -> list[str]:
    lines = [
        "| | SIGTERM → exit, s | … records that come twice then | … with a frozen broker, s (exit code) "
        "| `kill -9` → first record of the replacement, s | 10 × `kill -9`: lost | … twice |",
        "|---|---|---|---|---|---|---|",
    ]
    known = ("end", "frozen", "back", "lost")
    for title, numbers in products.items():
        if any(key in numbers for key in known):
            twice = _text(numbers.get("twice"))
            if "ledger_twice" in numbers:
                twice += f" (with the ledger {numbers['ledger_twice']})"
            cells = [_text(numbers.get("end")), _text(numbers.get("end_twice")), _frozen(numbers), _back(numbers)]
            lines.append(f"| {title} | {' | '.join([*cells, _text(numbers.get('lost')), twice])} |")
    return lines if len(lines) > 2 else []


def _frozen(numbers: Results) -> str:
    code = numbers.get("frozen_code")
    return _text(numbers.get("frozen")) + ("" if code is None else f" ({code})")


def _back(numbers: Results) -> str:
    if "back_max" in numbers:
        return f"{numbers['back']:.2f}, of {numbers['back_of']} at most {numbers['back_max']:.2f}"
    return _text(numbers.get("back"), 0)


def _text(value: Any, digits: int = 2) -> str:
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return "–" if value is None else str(value).replace("|", " ").replace("\n", " ")[:80]


def _notes(results: Results) -> list[str]:
    """What the numbers were made of, and who is missing."""
    records = results["settings"]["records"]
    told = [
        f"{results['machine']}; broker and consumers share the cores. {records:,} records of 200 bytes, 4 partitions. "
        "Tuned: `fetch.queue.backoff.ms=1`. SQLite: a transaction a record, of a batch one. Memory: of one process. "
        "After SIGTERM and `kill -9`: a handler of 1 ms, every timeout at its default; only where peers' duplicates "
        "are counted their session is 6 s, or they would stand still, and a kill comes every 8 s; ours every 0.5 s."
    ]
    told += [f"{title} could not be installed: {why}" for title, why in results["refused"].items()]
    failed = {
        f"{title}, {name}: {numbers[name]}"
        for title, numbers in results["products"].items()
        for name in _SPEEDS
        if isinstance(numbers.get(name), str)
    }
    told += sorted(text.replace("\n", " ")[:200] for text in failed)
    if results["load"] > LOAD:
        told.append(f"Load average {results['load']:.1f} before it: not a quiet machine.")
    return told


def write_readme(results: Results) -> None:
    path = Path(__file__).parent.parent / "README.md"
    before, _, rest = path.read_text().partition(START)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"README.md: expected {START} and {END}")
    path.write_text(f"{before}{START}\n{COMMAND}\n\n{table(results)}\n{END}{after}")
