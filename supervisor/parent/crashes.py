"""RUNS IN THE PARENT: keeps the evidence of an end that nobody asked for: one file each, the latest ten of a child.

Everything in it is bounded and read in small pieces; secrets are out of it before it is written.
"""

from __future__ import annotations

import json
import math
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from supervisor import __version__
from supervisor.core.config import redact
from supervisor.core.lifecycle.child import Child
from supervisor.core.lifecycle.exits import Cause, LastExit
from supervisor.core.spec import ChildSpec, ConsumerSettings, TaskSettings
from supervisor.parent.known import Known
from supervisor.parent.snapshot import Moment, iso

KEEP = 10
LINES = 50
LOG_BYTES = 64 * 1024  # of the end of the log: also a disk that is slow gives them at once, from memory
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def worth(last: LastExit) -> bool:
    """Whether nobody asked for this end."""
    return last.cause != Cause.PLANNED


def report(
    child: Child,
    spec: ChildSpec,
    known: Known,
    last: LastExit,
    *,
    pid: int,
    log: str,
    env: Mapping[str, str],
    at: Moment,
) -> dict[str, Any]:
    """Return all that is known of the process that ended. `env` has no secrets any more."""
    doing = known.condemned_for or known.doing
    return {
        "child": child.name,
        "pid": pid,
        "time": iso(last.at),
        **asdict(last),
        "reason": redact.text(last.reason),
        "for": _finite(at.mono - doing.since) if doing else None,
        "budget": doing.budget if doing else None,
        "lived": known.lived,
        "failures": {
            "in_row": child.failures.in_row,
            "same_error": child.failures.same,
            "first": at.instant(child.failures.first_at) if child.failures.in_row else None,
        },
        "stacks": redact.text(known.stacks),
        "log": [redact.text(line) for line in last_lines(log)],
        "curve": [{"age": round(at.mono - when, 3), "rss": rss, "cpu": cpu} for when, rss, cpu in known.curve],
        "config": {"where": spec.where, "section": section(spec), "target": target(spec), "when": spec.when},
        "environment": dict(env),
        "versions": {"forkwarden": __version__, "python": sys.version.split()[0]},
    }


def section(spec: ChildSpec) -> str:
    return "" if spec.kind == "broker" else f"[{spec.kind}s.{spec.group}]"


def target(spec: ChildSpec) -> str | None:
    """Return the user's function: module:function."""
    match spec.settings:
        case TaskSettings(run=found) | ConsumerSettings(handler=found):
            return found
    return None


def last_lines(log: str) -> list[str]:
    """Return the last lines of a log file, of the one before too when it was put aside just now."""
    data = _end(log)
    if data.count(b"\n") < LINES and len(data) < LOG_BYTES:
        data = (_end(f"{log}.1") + data)[-LOG_BYTES:]
    return data.decode(errors="backslashreplace").splitlines()[-LINES:]


def keep(folder: str, found: Mapping[str, Any]) -> str | None:
    """Write it; return the path, or None when the disk does not take it: the log has the reason all the same."""
    path, new = f"{folder}/{found['child']}-{found['at']:.3f}.json", f"{folder}/.new"
    data = json.dumps(found).encode()
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            whole = os.write(fd, data) == len(data)
        finally:
            os.close(fd)
        if not whole:
            os.unlink(new)
            return None
        os.rename(new, path)  # who reads at this moment finds none, or a whole one
        _forget_old(folder, str(found["child"]))
    except OSError:
        return None
    return path


def _finite(seconds: float) -> float | None:
    """The black box is the child's to write: what it says may be no time at all."""
    return seconds if math.isfinite(seconds) else None


def _forget_old(folder: str, child: str) -> None:
    mine = sorted(name for name in os.listdir(folder) if name.rpartition("-")[0] == child)
    for name in mine[:-KEEP]:
        os.unlink(f"{folder}/{name}")


def _end(path: str) -> bytes:
    try:
        fd = os.open(path, _FLAGS)
    except OSError:
        return b""
    try:
        found = os.fstat(fd)
        return os.pread(fd, LOG_BYTES, max(0, found.st_size - LOG_BYTES)) if stat.S_ISREG(found.st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(fd)
