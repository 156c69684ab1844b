"""The command: `python tests/chaos/hangs.py [ROUNDS]`: six ways to hang, each found in time, with the guilty line.

Frozen by SIGSTOP, a C call that holds the interpreter, a regular expression: no heartbeat. A loop, a deadlock, a C
call that does not hold it: the heartbeat goes on, and the run's budget ends it. None of them listens to a SIGTERM
or to the exception of a timeout.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(_ROOT), str(_ROOT / "tests")) if path not in sys.path]

from chaos import judge, proc  # noqa: E402
from chaos.shared import Breach, Life, command, figures, life, say  # noqa: E402
from support.eventually import eventually  # noqa: E402
from support.project import NOTE  # noqa: E402

TIMEOUT = 3.0  # of the heartbeat
RUN, VERDICT = 1.0, 5.0  # a run's own timeout; and what the supervisor gives on top of that (and kill_after)
CLOCKS = 0.1  # seconds between what we note and what it notes, and a turn of its loop
HEAD = f"""
[supervisor]
grace_period = "500ms"
backoff = {{ base = "100ms", max = "200ms", jitter = 0.0 }}
heartbeat = {{ interval = "200ms", timeout = "{TIMEOUT:g}s" }}
crash_loop = {{ count = 1000, window = "1m" }}
watch = false
"""
TASK = '\n[tasks.{name}]\nrun = "{name}:tick"\nevery = "1h"\nrun_on_start = true\ntimeout = "{timeout}"\n{more}'
BODY = {
    "stopped": "time.sleep(3600)",
    "interpreter": "sum(range(10**18))  # guilty",
    "regex": 're.match(r"(a+)+$", "a" * 64 + "b")  # guilty',
    "spin": "x = 1  # guilty",
    "deadlock": "lock.acquire()  # guilty",
    "outside": "libc.pthread_mutex_lock(mutex)  # guilty",
}
SILENT = ("stopped", "interpreter", "regex")  # no heartbeat comes
CODE = (
    NOTE
    + """
import ctypes, re, threading
libc = ctypes.CDLL(None)
mutex = ctypes.create_string_buffer(64)
libc.pthread_mutex_lock(mutex)
lock = threading.Lock()
lock.acquire()


def tick():
    note(__name__, f"{os.getpid()} {time.time()}")
    hang()


def hang():
    while True:
        try:
            while True:
                BODY
        except BaseException:
            pass
"""
)


@dataclass(frozen=True, slots=True)
class Hang:
    """One that was found. Seconds from its beginning; `allowed` is what the settings give it."""

    kind: str
    found: float
    allowed: float
    gone: float


def config() -> str:
    made = HEAD
    for name in BODY:
        silent = name in SILENT
        more = "" if silent else 'kill_after = "0s"\n'
        made += TASK.format(name=name, timeout="1h" if silent else f"{RUN:g}s", more=more)
    return made


def rounds(living: Life, times: int, slack: float = 0.0) -> list[Hang]:
    """Let all six hang `times` times, beside each other."""
    for name, body in BODY.items():
        living.project.write(f"{name}.py", CODE.replace("BODY", body))
    living.supervisor.start()
    found: list[Hang] = []
    for number in range(times):
        found += [_watch(living, name, number, slack) for name in BODY]
        say(f"round {number + 1}: found after {', '.join(f'{h.kind} {h.found:.2f} s' for h in found[-6:])}")
    return found


def _watch(living: Life, name: str, number: int, slack: float) -> Hang:
    lines = living.project.lines
    eventually(lambda: len(lines(name)) > number, within=60, what=f"{name} hangs for the {number + 1}th time")
    pid, since = int(lines(name)[number].split()[0]), float(lines(name)[number].split()[1])
    if name == "stopped":
        os.kill(pid, signal.SIGSTOP)
        since = time.time()
    allowed = TIMEOUT if name in SILENT else RUN + VERDICT
    event = eventually(lambda: _verdict(living, name, pid), within=allowed + 30, what=f"a verdict on {name}") or {}
    eventually(lambda: not proc.alive(pid), within=30, what=f"{name}, pid {pid}, is gone")
    gone, judged = time.time() - since, datetime.fromisoformat(event["time"]).timestamp() - since
    wanted = "hung" if name in SILENT else "timed_out"
    report = eventually(lambda: _report(living, name, pid), within=30, what=f"the report on {name}, pid {pid}") or {}
    if report["cause"] != wanted:
        raise Breach(f"{name}: expected the verdict {wanted}, found {report['cause']}: {report['reason']}")
    if judged > allowed + 1 + CLOCKS + slack:
        raise Breach(f"{name}: found after {judged:.2f} s, {allowed:g} s and 1 s were allowed")
    if name != "stopped" and not _names(report["stacks"], living, name):
        raise Breach(f"{name}: its report does not name line {_guilty(living, name)}:\n{report['stacks']}")
    return Hang(name, judged, allowed, gone)


def _verdict(living: Life, name: str, pid: int) -> Mapping[str, Any] | None:
    """The supervisor's first line about this process after it was ready."""
    for line in reversed(judge.whole_lines(living.project.state / "events")):
        event: dict[str, Any] = json.loads(line)
        if event.get("child") == name and event.get("pid") == pid and event.get("from") == "running":
            return event
    return None


def _report(living: Life, name: str, pid: int) -> Mapping[str, Any] | None:
    for path in (living.project.state / "crashes").rglob("*.json"):
        try:
            found: dict[str, Any] = json.loads(path.read_text())
        except ValueError:
            continue  # it is being written
        if found["child"] == name and found["pid"] == pid:
            return found
    return None


def _guilty(living: Life, name: str) -> int:
    text = (living.project.folder / f"{name}.py").read_text().splitlines()
    return next(number for number, line in enumerate(text, 1) if line.endswith("# guilty"))


def _names(stacks: str, living: Life, name: str) -> bool:
    """A loop of one statement is found on it or on its head."""
    line = _guilty(living, name)
    return any(f'{name}.py", line {each} in hang' in stacks for each in (line, line - 1))


def run(arguments: argparse.Namespace) -> Iterable[tuple[str, object]]:
    with life(config(), "") as living:
        found = rounds(living, arguments.rounds, arguments.slack)
    rows: list[tuple[str, object]] = [("found", f"{len(found)} of {len(BODY) * arguments.rounds}")]
    for name in BODY:
        mine = [hang for hang in found if hang.kind == name]
        late = [hang.found - hang.allowed for hang in mine]
        line = "" if name == "stopped" else ", its line named"
        rows.append((name, f"allowed {mine[0].allowed:g} s; beyond that {figures(late, 1, 's')}{line}"))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[2])
    parser.add_argument("rounds", nargs="?", type=int, default=10)
    parser.add_argument("--slack", type=float, default=0.0, help="seconds that a loaded machine may take more")
    return command(run, parser)


if __name__ == "__main__":
    sys.exit(main())
