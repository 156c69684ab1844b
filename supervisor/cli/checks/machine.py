"""RUNS IN A PROCESS OF ITS OWN, for doctor: the interpreter, the kernel, the limits that a container sets."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import resource
import select
import signal
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from supervisor.cli.checks import cgroup
from supervisor.cli.checks.apart import Answer
from supervisor.cli.start import refuse_supervisord
from supervisor.core.errors import SupervisorError
from supervisor.core.spec import Plan

_PR_GET_PDEATHSIG, _PR_GET_CHILD_SUBREAPER = 2, 37
_CLAIMED = re.compile(r"Programming Language :: Python :: (\d+)\.(\d+)")
MIB = 1 << 20
OF_OUR_OWN, PER_CHILD = 100, 4  # descriptors of the supervisor
RSS = 50 * MIB  # of a process, about; shared pages are counted in each
THREADS = {"consumer": 14, "task": 3, "broker": 8}  # a cgroup's limit of pids counts threads


def python() -> Answer:
    """Only the versions that the package claims are tested."""
    lines = metadata.metadata("forkwarden").get_all("Classifier") or []
    claimed = [(int(found[1]), int(found[2])) for each in lines if (found := _CLAIMED.fullmatch(str(each)))]
    shown = f"{sys.version.split()[0]} ({sys.executable})"
    if sys.version_info[:2] in claimed and sys.implementation.name == "cpython":
        return Answer(True, shown)
    tested = ", ".join(f"{major}.{minor}" for major, minor in claimed)
    return Answer(False, f"{shown} is not tested", f"use CPython {tested}")


def kernel() -> Answer:
    """Each feature is used once: a container may forbid what its kernel has."""
    shown = f"{os.uname().sysname} {os.uname().release}"
    if sys.platform != "linux":
        return Answer(False, shown, "run it on Linux")
    missing = [name for name, has in _FEATURES.items() if not _works(has)]
    if not missing:
        return Answer(True, f"{shown}: {', '.join(_FEATURES)}")
    fix = "Linux 5.4 or later; in a container its seccomp profile must allow them"
    return Answer(False, f"{shown} lacks {', '.join(missing)}", fix)


def supervisord() -> Answer:
    try:
        refuse_supervisord()
    except SupervisorError as error:
        said, _, fix = str(error).partition(". ")
        return Answer(False, " ".join(said.split()), " ".join(fix.split()))
    return Answer(True, "Supervisord is not in this environment")


def bytecode() -> Answer:
    """Without it each command and each start compiles the whole package again, which takes a second."""
    spec = importlib.util.find_spec("supervisor")
    folder = Path((spec and spec.origin) or "").parent
    files = list(folder.rglob("*.py"))
    missing = [file for file in files if not os.path.exists(importlib.util.cache_from_source(str(file)))]
    if not missing:
        return Answer(True, f"compiled, {len(files)} modules")
    if not sys.dont_write_bytecode and os.access(missing[0].parent, os.W_OK):
        return Answer(True, "Python writes it at the first use of a module")
    why = "PYTHONDONTWRITEBYTECODE is set" if sys.dont_write_bytecode else f"{folder} cannot be written"
    compile_it = f"env -u PYTHONDONTWRITEBYTECODE {sys.executable} -m compileall -q {folder}"
    return Answer(False, f"{len(missing)} of {len(files)} modules are not compiled, and {why}", compile_it)


def descriptors(plan: Plan) -> Answer:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = OF_OUR_OWN + PER_CHILD * len(plan.children)
    if hard != resource.RLIM_INFINITY and hard < needed:
        return Answer(False, f"{hard} are allowed, {needed} needed", f"LimitNOFILE={needed}, or: ulimit -Hn {needed}")
    return Answer(True, f"{'any number' if hard == resource.RLIM_INFINITY else hard} allowed, {needed} needed")


def processes(plan: Plan) -> Answer:
    needed = sum(THREADS[child.kind] for child in plan.children) + 10
    left = cgroup.left("pids.max", "pids.current")
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if left is not None and left < needed:
        return Answer(False, f"the cgroup allows {left} more, about {needed} are needed", "TasksMax=, or --pids-limit")
    if os.geteuid() and soft != resource.RLIM_INFINITY and soft < needed:
        return Answer(False, f"the user may have {soft}, about {needed} are needed", f"ulimit -u {4 * needed}")
    return Answer(True, f"about {needed} with their threads" + (f", {left} more allowed" if left is not None else ""))


def memory(plan: Plan) -> Answer:
    needed = RSS * (len(plan.children) + 1)
    left = cgroup.left("memory.max", None)
    if left is None:
        return Answer(True, f"about {needed // MIB} MiB needed, the cgroup sets no limit")
    if left < needed:
        fix = "MemoryMax=, or --memory; below it the kernel kills children now and then"
        return Answer(False, f"the cgroup allows {left // MIB} MiB, about {needed // MIB} MiB are needed", fix)
    return Answer(True, f"about {needed // MIB} MiB needed, the cgroup allows {left // MIB} MiB")


def clock(files: list[str]) -> Answer:
    """A clock that was reset is behind what was written by it."""
    newest = max((os.stat(file).st_mtime for file in files if os.path.exists(file)), default=0.0)
    shown = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if time.time() < newest - 86400:
        return Answer(False, f"{shown} is before {files[0]} was written", "set the clock: timedatectl")
    return Answer(True, shown)


def _works(feature: Iterator[None] | object) -> bool:
    try:
        feature()  # type: ignore[operator]
    except (OSError, AttributeError):
        return False
    return True


def _pidfd() -> None:
    fd = os.pidfd_open(os.getpid())
    signal.pidfd_send_signal(fd, 0)
    os.close(fd)


def _prctl(option: int) -> None:
    value = ctypes.c_int()
    if ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.byref(value), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


_FEATURES = {
    "pidfd": _pidfd,
    "epoll": lambda: select.epoll().close(),
    "memfd": lambda: os.close(os.memfd_create("doctor")),
    "PDEATHSIG": lambda: _prctl(_PR_GET_PDEATHSIG),
    "subreaper": lambda: _prctl(_PR_GET_CHILD_SUBREAPER),
}
