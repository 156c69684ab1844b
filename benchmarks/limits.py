"""What this machine allows at best: fork, exec, exits, pipes, imports. Medians; nothing of ours is in them.

.venv/bin/python benchmarks/limits.py
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import multiprocess
from idle_script import HEAVY
from processes import MIB, memory

TIMES = 15
_CONTEXT = multiprocess.get_context("fork")
now = time.monotonic


def main() -> None:
    for title, source in (
        ("python -c pass", "pass"),
        ("… with import schedule", "import schedule"),
        ("… with socket, json", "import socket, json"),
        ("… with socket, json, click", "import socket, json, click"),
        (f"… with {', '.join(HEAVY)}", "; ".join(f"import {module}" for module in HEAVY)),
    ):
        _say(title, lambda source=source: _interpreter(source))  # type: ignore[misc]
    importlib.import_module("schedule")
    _forks("light parent")
    for module in HEAVY:
        importlib.import_module(module)
    _forks("heavy parent")
    _say("a frame into a pipe, and decoded at the other end (µs)", _pipe, unit=1e6)


def _forks(parent: str) -> None:
    gc.collect()
    gc.freeze()
    print(f"{parent}: {memory(os.getpid()).pss:.0f} MiB (PSS)")
    _say("os.fork until the child's first line", lambda: _first_line(os.fork))
    _say("multiprocess, fork, until the child's first line", _multiprocess)
    _say("kill -9 until the pidfd is readable", _death)
    _say("SIGTERM until 100 idle children are gone", _hundred)
    print(f"{_uss():9.2f} MiB a forked child that sleeps (USS)")


def _say(title: str, measure: Callable[[], float], unit: float = 1000.0) -> None:
    found = sorted(measure() for _ in range(TIMES))
    print(f"{statistics.median(found) * unit:9.2f} {'ms' if unit == 1000.0 else 'µs'}  {title}", flush=True)


def _interpreter(source: str) -> float:
    began = now()
    subprocess.run([sys.executable, "-c", source], check=True)
    return now() - began


def _first_line(fork: Callable[[], int]) -> float:
    read, write = os.pipe()
    began = now()
    pid = fork()
    if not pid:
        os.write(write, b"x")
        os._exit(0)
    os.read(read, 1)
    took = now() - began
    os.waitpid(pid, 0)
    os.close(read)
    os.close(write)
    return took


def _multiprocess() -> float:
    read, write = os.pipe()
    began = now()
    process = _CONTEXT.Process(target=os.write, args=(write, b"x"))
    process.start()
    os.read(read, 1)
    took = now() - began
    process.join()
    os.close(read)
    os.close(write)
    return took


def _sleeper() -> int:
    pid = os.fork()
    if not pid:
        signal.pause()
        os._exit(0)
    return pid


def _death() -> float:
    pid = _sleeper()
    pidfd = os.pidfd_open(pid)
    time.sleep(0.005)
    began = now()
    os.kill(pid, signal.SIGKILL)
    select.select([pidfd], [], [])
    took = now() - began
    os.waitpid(pid, 0)
    os.close(pidfd)
    return took


def _hundred() -> float:
    pids = [_sleeper() for _ in range(100)]
    began = now()
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    for pid in pids:
        os.waitpid(pid, 0)
    return now() - began


def _uss() -> float:
    pids = [_sleeper() for _ in range(5)]
    time.sleep(0.1)
    found = [memory(pid).uss for pid in pids]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return statistics.median(found)


def _pipe(times: int = 1000) -> float:
    read, write = os.pipe()
    body = {"t": "beat", "rss": 30 * MIB, "cpu": 1.25, "dropped": 0}
    began = now()
    for _ in range(times):
        os.write(write, json.dumps(body).encode())
        json.loads(os.read(read, 4096))
    took = (now() - began) / times
    os.close(read)
    os.close(write)
    return took


if __name__ == "__main__":
    main()
