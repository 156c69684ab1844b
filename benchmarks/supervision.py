"""This product beside Supervisord, circus and gunicorn, in one run, with the same code in every child.

    .venv/bin/python benchmarks/supervision.py [--quick] [--n 100] [--only light,idle,…] [--write-readme]

Ratios count; absolute times do not travel from one machine to another. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import parts
from processes import others_busy
from products import PRODUCTS, Forkwarden, Product, peers_venv
from report import LOAD, Results, table, write_readme

PARTS = ("light", "heavy", "orphans", "ill", "crowd")


def main() -> int:
    options = _options()
    kinds = [kind for kind in PRODUCTS if kind.name.lower() in options.products.lower()]
    if any(kind is not Forkwarden for kind in kinds):
        peers_venv()
    results: Results = {"machine": _machine(), "settings": vars(options), "loads": [], "parts": {}}
    print(results["machine"])
    for part in options.only.split(","):
        results["parts"][part] = {}
        for kind in kinds if part != "crowd" else [Forkwarden]:
            results["parts"][part][kind.name] = _measure(part, kind, options, results)
    print("\n" + table(results))
    Path(options.json).write_text(json.dumps(results, indent=2, default=str) + "\n")
    print(f"\nnumbers in {options.json}")
    if options.write_readme:
        write_readme(results)
    return 0


def _measure(part: str, kind: type[Product], options: argparse.Namespace, results: Results) -> parts.Numbers:
    load, taken = os.getloadavg()[0], others_busy()
    results["loads"].append(load)
    noise = "  WARNING: the machine is not quiet" if load > LOAD or taken > 0.2 else ""
    print(f"{part:8} {kind.name:12} load {load:.2f}, others use {taken:.2f} cores{noise}", flush=True)
    began = time.monotonic()
    try:
        found = _calls(options)[part](kind)
    except parts.Failed as error:
        found = {"failed": str(error)}
    shown = {key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()}
    print(f"         {time.monotonic() - began:.0f} s: {shown}", flush=True)
    return found


def _calls(options: argparse.Namespace) -> dict[str, Callable[[type[Product]], parts.Numbers]]:
    quick, n = options.quick, options.n
    kills, idle, watched = (5, 5.0, 8.0) if quick else (20, 20.0, 45.0)
    heavy = min(n, 20)
    return {
        "light": lambda kind: parts.life(kind, n, heavy=False, kills=kills, idle=idle),
        "heavy": lambda kind: parts.life(kind, heavy, heavy=True, kills=kills, idle=idle),
        "orphans": lambda kind: parts.orphans(kind, min(n, 20)),
        "ill": lambda kind: parts.illnesses(kind, watched if kind.sees_hung or not quick else 5.0),
        "crowd": lambda kind: parts.crowd(10 * n, idle),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100, help="children (heavy: at most 20; crowd: ten times as many)")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--products", default=",".join(kind.name for kind in PRODUCTS), help="some of the products")
    parser.add_argument("--quick", action="store_true", help="5 kills, 5 s of idling: for trying it out")
    parser.add_argument("--json", default=str(Path(__file__).parent.parent / ".bench" / "supervision.json"))
    parser.add_argument("--write-readme", action="store_true", help="put the table into README.md")
    return parser.parse_args()


def _machine() -> str:
    cpus = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":")[1].strip() for line in cpus.splitlines() if line.startswith("model name")), "?")
    return f"{os.cpu_count()} cores ({model}), Linux {platform.release()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
