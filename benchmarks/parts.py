"""What is measured of each product: one function a part, each with a product that it starts and closes."""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from processes import alive, busy, kill_all, memory, wait_for
from products import TIMEOUT, Forkwarden, Product

Numbers = dict[str, float | str]
START_WITHIN = 180.0
ILLNESSES = {"spinning": 36, "deadlocked": 37, "holds the GIL": 38}


class Failed(Exception):
    """It did not do what is measured. Said in the table, never hidden."""


@contextmanager
def running(kind: type[Product], count: int, *, heavy: bool) -> Iterator[tuple[Product, float]]:
    """Start it; the block gets it with the seconds until all were ready."""
    product = kind(count, heavy=heavy)
    try:
        began = time.monotonic()
        product.start()
        if not wait_for(lambda: len(product.ready()) >= count, START_WITHIN, every=0.002):
            raise Failed(f"{len(product.ready())} of {count} ready after {START_WITHIN:.0f} s: {product.tail()}")
        yield product, max(at for _, at in product.ready()[:count]) - began
    finally:
        product.close()


def life(kind: type[Product], count: int, *, heavy: bool, kills: int, idle: float) -> Numbers:
    """A whole life: start, memory, idle, kills, status, stop."""
    with running(kind, count, heavy=heavy) as (product, started):
        time.sleep(2.0)
        found: Numbers = {"start": started, **_memory(product), **_idle(product, idle)}
        found |= _kills(product, kills)
        found["status"] = _status(product)
        found["stop"] = product.stop()
        return found


def _memory(product: Product) -> Numbers:
    everyone = {pid: memory(pid) for pid in product.everyone()}
    children = [everyone[pid] for pid in product.children() if pid in everyone]
    return {
        "child_pss": statistics.median(child.pss for child in children),
        "child_uss": statistics.median(child.uss for child in children),
        "parent_pss": everyone[product.pid].pss,
        "all_pss": sum(each.pss for each in everyone.values()),
    }


def _idle(product: Product, seconds: float) -> Numbers:
    everyone = product.everyone()
    before = {pid: busy(pid) for pid in everyone}
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    after = {pid: busy(pid) for pid in everyone}
    parent = after[product.pid].seconds - before[product.pid].seconds
    return {
        "parent_cpu": 100 * parent / took,
        "parent_wakes": (after[product.pid].wakes - before[product.pid].wakes) / took,
        "tree_cpu": 100 * sum(after[pid].seconds - before[pid].seconds for pid in everyone) / took,
        "tree_wakes": sum(after[pid].wakes - before[pid].wakes for pid in everyone) / took,
    }


def _kills(product: Product, count: int) -> Numbers:
    """Another child each time: a second death in a row may wait, and rightly so."""
    took = []
    for pid in random.sample(product.children(), min(count, product.count)):
        time.sleep(random.uniform(0.3, 1.3))  # no phase with a loop of one second
        took.append(_kill(product, pid))
    took.sort()
    return {
        "kill_p50": statistics.median(took),
        "kill_p99": took[min(len(took) - 1, int(0.99 * len(took)))],
    }


def _kill(product: Product, pid: int) -> float:
    known, size = len(product.ready()), product.size()
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)

    def replaced() -> bool:
        return product.size() > size and len(product.ready()) > known

    if not wait_for(replaced, 30.0):
        raise Failed(f"no replacement within 30 s after kill -9: {product.tail()}")
    return 1000 * (product.ready()[-1][1] - began)


def _status(product: Product, times: int = 7) -> float:
    took = []
    for _ in range(times):
        began = time.monotonic()
        done = subprocess.run(
            product.status_command(), cwd=product.folder, env=product.environment, capture_output=True, check=False
        )
        took.append(time.monotonic() - began)
        if done.returncode not in (0, 3):  # supervisorctl's 3: not everything runs
            raise Failed(f"{product.status_command()[0]} ended with {done.returncode}: {done.stderr.decode()[-200:]}")
    return statistics.median(took)


def orphans(kind: type[Product], count: int) -> Numbers:
    """kill -9 of the parent: who is left?"""
    with running(kind, count, heavy=False) as (product, _):
        time.sleep(1.0)
        everyone = [pid for pid in product.everyone() if pid != product.pid]
        os.kill(product.pid, signal.SIGKILL)
        began, found = time.monotonic(), {}
        for after in (0.1, 10.0):
            time.sleep(max(0.0, began + after - time.monotonic()))
            found[after] = sum(map(alive, everyone))
        kill_all(pid for pid in everyone if alive(pid))
        return {"left_soon": found[0.1], "left_late": found[10.0]}


def illnesses(kind: type[Product], watched: float) -> Numbers:
    """Seconds until a child that does not work any more was noticed."""
    if issubclass(kind, Forkwarden):
        return _our_illnesses(watched)
    found: Numbers = {}
    for name, number in {"frozen": signal.SIGSTOP, **ILLNESSES}.items():
        with running(kind, 2, heavy=False) as (product, _):
            time.sleep(1.0)
            found[name] = _seen(product, product.children()[0], number, watched)
    return found


def _seen(product: Product, pid: int, number: int, watched: float) -> float | str:
    began = time.monotonic()
    os.kill(pid, number)
    gone = wait_for(lambda: not alive(pid), watched, every=0.01)
    return time.monotonic() - began if gone else f"not within {watched:.0f} s"


class Ill(Forkwarden):
    """Each illness is a task whose first run, right after READY, falls ill."""

    extra = "".join(
        f'[tasks.{function}]\nrun = "idle_script:{function}"\nevery = "1h"\nrun_on_start = true\n'
        f'timeout = "{TIMEOUT}s"\nkill_after = "0s"\n'
        for function in ("spin", "deadlock", "hold")
    )

    def configure(self) -> None:
        self.count = 1  # the one that is frozen, beside these three
        super().configure()


def _our_illnesses(watched: float) -> Numbers:
    with running(Ill, 4, heavy=False) as (product, _):
        frozen = next(pid for pid, child in _ready_lines(product) if child == "t0000")
        began = {"t0000": time.monotonic()}
        os.kill(frozen, signal.SIGSTOP)
        at = dict(product.ready())
        began |= {child: at[pid] for pid, child in _ready_lines(product) if child != "t0000"}
        names = {"t0000": "frozen", "spin": "spinning", "deadlock": "deadlocked", "hold": "holds the GIL"}
        found: Numbers = {}
        end = time.monotonic() + watched
        while len(found) < len(names) and time.monotonic() < end:
            time.sleep(0.01)
            for child in _complained_of(product) & names.keys():
                found.setdefault(names[child], time.monotonic() - began[child])
        return found | {name: f"not within {watched:.0f} s" for name in names.values() if name not in found}


def _lines(product: Product) -> list[dict[str, object]]:
    text = (product.folder / "output").read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if line.startswith("{")]


def _ready_lines(product: Product) -> list[tuple[int, str]]:
    lines = [line for line in _lines(product) if str(line["text"]).startswith("ready, pid ")]
    return [(int(str(line["pid"])), str(line["child"])) for line in lines]


def _complained_of(product: Product) -> set[str]:
    return {str(line["child"]) for line in _lines(product) if line["level"] in ("warning", "error")}


def crowd(count: int, idle: float) -> Numbers:
    """Only ours: the promise is about a thousand."""
    with running(Forkwarden, count, heavy=False) as (product, started):
        time.sleep(2.0)
        return {"start": started, **_memory(product), **_idle(product, idle), "stop": product.stop()}
