"""RUNS IN A CHILD: its first lines after the fork.

The signals are blocked when it begins (parent/process blocks them across the fork) and again allowed by
`main` when the process's own handlers stand.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import sys

import setproctitle

from supervisor import plain
from supervisor.child.birth import Birth
from supervisor.core.paths import Paths
from supervisor.core.wire.messages import DUMP_SIGNAL
from supervisor.forked import adopt_orphans, close_all_but, die_with, nowhere, reset_signals

OOM_SHARE = 300  # thousandths of the memory that a child seems to have more than the supervisor
MOST = 1000


def boot(birth: Birth) -> None:
    reset_signals()
    os.setsid()  # a session of our own, so that the group can be killed as one
    die_with(birth.parent_pid)
    adopt_orphans()  # they come to the parent exactly when we die: so it knows whose they are
    close_all_but({birth.messages, birth.orders, birth.dump, birth.console})
    nowhere(0)
    be_taken_first()
    resource.setrlimit(resource.RLIMIT_NOFILE, birth.nofile)
    redirect_output(Paths(birth.supervisor.state_dir).log(birth.spec.name))
    faulthandler.enable(birth.dump)
    faulthandler.register(DUMP_SIGNAL, birth.dump, all_threads=True)
    setproctitle.setproctitle(f"forkwarden: {birth.spec.name}")
    os.environ["FORKWARDEN_CHILD"] = birth.spec.name
    os.environ["FORKWARDEN_STATE_DIR"] = birth.supervisor.state_dir
    sys.path.insert(0, birth.supervisor.project_dir)


def be_taken_first() -> None:
    """When memory runs out the kernel takes us before the supervisor, which replaces one; nobody replaces the other."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
        try:
            os.write(fd, str(min(MOST, int(os.read(fd, 16)) + OOM_SHARE)).encode())
        finally:
            os.close(fd)
    except (OSError, ValueError):
        pass  # no such file in this container: everybody is equal then


def redirect_output(path: str) -> None:
    """Whatever the process prints goes to its own log file; without a place for it, nowhere."""
    try:
        fd = plain.opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    except OSError:
        fd = os.open(os.devnull, os.O_WRONLY)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
