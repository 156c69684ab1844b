"""Our consumers beside the bare client, aiokafka, kafka-python, FastStream, Quix Streams and Faust, on a real Kafka.

    .venv/bin/python benchmarks/kafka.py [--only throughput,ends,…] [--products poll,quix,…] [--write-readme]

All in one run with the same handlers; ratios count, absolute numbers do not travel. About a quarter of an hour;
`--records 200000 --seconds 1 --rounds 1 --kills 1` for trying it out. The broker takes its share of the same cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT), str(ROOT / "tests")]

import kafka_parts as parts  # noqa: E402
from kafka_products import PRODUCTS, Failed, Product, install  # noqa: E402
from kafka_report import Results, table, write_readme  # noqa: E402
from processes import others_busy  # noqa: E402

from support.real_kafka import why_not  # noqa: E402

PARTS = ("throughput", "ends", "frozen", "kills", "duplicates")


def main() -> int:
    options = _options()
    if reason := why_not():
        raise SystemExit(reason)
    refused = install()
    known = [each for each in PRODUCTS if each.venv not in refused and _chosen(each, options.products)]
    results: Results = {"machine": parts.machine(), "load": os.getloadavg()[0], "settings": vars(options)}
    results["refused"] = {each.title: refused[each.venv] for each in PRODUCTS if each.venv in refused}
    results["products"] = {each.title: {} for each in known}
    print(results["machine"], f"load {results['load']:.1f}, others use {others_busy():.2f} cores", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-kafka-", dir="/tmp") as folder:
        for part in options.only.split(","):
            began = time.monotonic()
            for title, found in _run(part)(Path(folder) / part, known, options).items():
                results["products"][title] |= found
            print(f"{part}: {time.monotonic() - began:.0f} s", flush=True)
    print("\n" + table(results))
    Path(options.json).write_text(json.dumps(results, indent=2, default=str) + "\n")
    if options.write_readme:
        write_readme(results)
    return 0


def _run(part: str) -> Callable[[Path, list[Product], argparse.Namespace], parts.Found]:
    found: Callable[[Path, list[Product], argparse.Namespace], parts.Found] = getattr(parts, part)
    return found


def _chosen(product: Product, wanted: str) -> bool:
    return not wanted or product.ours or product.kind in wanted.split(",")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=2_000_000, help="in the topic that all read")
    parser.add_argument("--seconds", type=float, default=3.0, help="of one measurement at most")
    parser.add_argument("--rounds", type=int, default=3, help="of ours and the bare loops; the medians count")
    parser.add_argument("--kills", type=int, default=20, help="of ours, 10 s apart, until its records flow again")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--products", default="", help="ours and some of the peers, by their names in kafka_peers.py")
    parser.add_argument("--handlers", default="noop,json,sqlite", help="of part throughput")
    parser.add_argument("--json", default=str(ROOT / ".bench" / "kafka.json"))
    parser.add_argument("--write-readme", action="store_true", help="put the tables into README.md")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        raise SystemExit(str(error)) from None
