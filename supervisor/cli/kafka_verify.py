"""RUNS IN THE USER'S TERMINAL: `supervisor kafka verify`: one real consumer process, which says each step as JSON.

The lines are those of Apache Kafka's verifiable consumer, so that the judges of its system tests can be run over it.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import tempfile
import time
from dataclasses import replace
from types import FrameType
from typing import NoReturn

import click

from supervisor.child.kafka.witness import EVENTS, MOST, VERBOSE
from supervisor.cli import options, terminal
from supervisor.cli.group import verb
from supervisor.cli.kafka_target import bootstrap, consumers_of, one, plan_of
from supervisor.cli.place import Place
from supervisor.core.errors import Exit
from supervisor.core.escape import line
from supervisor.core.spec import ChildSpec, SupervisorSettings
from supervisor.core.wire.messages import Bye, from_frame
from supervisor.parent import progress, state_folder
from supervisor.parent.process import Ends, Process, fork

PIECE = 1 << 16  # bytes


@verb(example="supervisor kafka verify payments --max-messages 1000")
@options.one_name
@click.option("--max-messages", "most", type=click.IntRange(1), metavar="N", help="End after so many records.")
@click.option("--verbose", is_flag=True, help="Tell every record.")
def verify(place: Place, name: str, most: int | None, verbose: bool) -> int:
    """Run one process of a consumer here, in the foreground, and print what it does as JSON lines.

    They are those of Apache Kafka's verifiable consumer: startup_complete, partitions_assigned, records_consumed …
    It handles records as always, as one more member of its group. Its log goes to stderr. Ctrl-C or SIGTERM end it.
    """
    plan = plan_of(place)
    settings = replace(one(consumers_of(plan), name), max_runs=most)
    bootstrap(place, settings)  # says that the embedded broker is not there
    child = next(each for each in plan.children if each.group == name)
    spec = replace(child, name=f"{name}:verify", settings=settings)  # a log of its own: it may run beside a supervisor
    folder = state_folder.prepare(plan.supervisor.state_dir, os.environ, os.geteuid())
    supervisor = replace(plan.supervisor, state_dir=folder.paths.root)
    if said := progress.prepare(folder.paths, name, settings.processes):
        terminal.tell(line(said))
    with tempfile.TemporaryDirectory(prefix="forkwarden-") as made:
        events = f"{made}/events"
        os.mkfifo(events, 0o600)
        told = os.open(events, os.O_RDONLY | os.O_NONBLOCK)
        os.environ |= {EVENTS: events, VERBOSE: str(int(verbose)), MOST: str(most or "")}
        return _Foreground(_forked(spec, supervisor), told, spec.policy.grace_period).follow()


def _forked(spec: ChildSpec, supervisor: SupervisorSettings) -> Process:
    us, nofile = os.getpid(), resource.getrlimit(resource.RLIMIT_NOFILE)

    def start(ends: Ends) -> NoReturn:
        from supervisor.child.birth import Birth
        from supervisor.child.main import main

        main(
            Birth(
                spec=spec,
                supervisor=supervisor,
                generation=1,
                previous=None,
                parent_pid=us,
                messages=ends.messages,
                orders=ends.orders,
                page=ends.page,
                dump=ends.dump,
                console=2,
                nofile=nofile,
                extra={},
            )
        )

    sys.stdout.flush()
    return fork(spec.name, start)


class _Foreground:
    """Copies its lines to stdout until it ends."""

    def __init__(self, process: Process, events: int, grace: float) -> None:
        self._process, self._events, self._grace = process, events, grace
        self._reason = ""
        self._end: float | None = None  # when SIGKILL is due
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def follow(self) -> int:
        poller = select.poll()
        for fd in (self._events, self._process.messages, self._process.pidfd):
            poller.register(fd, select.POLLIN)
        gone = False
        while not gone:
            ready = {fd for fd, _ in poller.poll(None if self._end is None else 200)}
            gone = self._process.pidfd in ready
            self._copy()
            if self._process.messages in ready and not self._listen():
                poller.unregister(self._process.messages)
            if self._events in ready and not gone:
                time.sleep(0.001)  # before it opens its end, and after it closed it, a FIFO is always ready
            if self._end is not None and time.monotonic() > self._end:
                self._process.kill()
        return self._over()

    def _copy(self) -> None:
        while True:
            try:
                piece = os.read(self._events, PIECE)
            except BlockingIOError:
                return
            if not piece:
                return
            while piece:
                piece = piece[os.write(1, piece) :]

    def _listen(self) -> bool:
        for frame in self._process.read():
            if isinstance(said := from_frame(frame), Bye):
                self._reason = said.reason
        return not self._process.silent

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """The second time it is not asked."""
        if self._end is not None:
            self._process.kill()
        self._end = self._end or time.monotonic() + self._grace
        self._process.send(signal.SIGTERM)

    def _over(self) -> int:
        self._listen()
        status = self._process.reap()
        self._process.close()
        os.close(self._events)
        if status.code == 0:
            return Exit.OK
        terminal.tell(f"its process {status.words()}" + (f": {line(self._reason)}" if self._reason else ""))
        return Exit.FAILED
