"""RUNS IN A CHILD: the thread that owns the client, from the first probe to the leave.

The main thread handles records and may be slow; this one keeps the membership, stores offsets, and ends in time.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from typing import Any

from supervisor.child.kafka import errors
from supervisor.child.kafka.callbacks import Callbacks
from supervisor.child.kafka.connecting import Connector
from supervisor.child.kafka.handover import Handover
from supervisor.child.kafka.ledger import Ledger
from supervisor.child.kafka.loop import Loop
from supervisor.child.kafka.progress import Progress
from supervisor.child.kafka.report import Report
from supervisor.child.kafka.starts import Starts
from supervisor.child.kafka.watch import Wish
from supervisor.child.runtime import Runtime
from supervisor.core.errors import Exit
from supervisor.core.spec import ConsumerSettings
from supervisor.core.wire.messages import Bye

log = logging.getLogger(__name__)

CLOSING = 60.0  # seconds for a client that is of no more use; longer is stuck
_kept: list[Loop] = []  # clients of a broker that is gone: destroying one waits 45 s for it, to commit what is stored


class Client(threading.Thread):
    """`finished` with `error` or `recycle`, or because the main thread ended the handover."""

    def __init__(
        self,
        rt: Runtime,
        settings: ConsumerSettings,
        handover: Handover,
        report: Report,
        ledger: Ledger | None = None,
    ) -> None:
        super().__init__(name="kafka", daemon=True)
        self._rt, self._settings = rt, settings
        self._handover, self._report = handover, report
        paged = settings.delivery == "at_least_once"  # the others have their positions elsewhere, or want none
        progress = Progress(rt.paths.progress(rt.spec.group) if paged else None, settings.member)
        handover.progressed = progress.handled
        starts = Starts(settings, progress, ledger)
        self._callbacks = Callbacks(rt, settings, handover, report, starts, progress)
        self._connector = Connector(rt, settings, handover, report, self._callbacks)
        self._stopping_since: float | None = None
        self._looked = 0.0
        self.connected = False
        self.finished = threading.Event()
        self.error: BaseException | None = None
        self.recycle = ""  # why this process is to be replaced, not counted as a failure
        self.wish: Wish | None = None  # the same, once what is in hand is finished and committed

    @property
    def bootstrap(self) -> str:
        return self._connector.bootstrap

    @property
    def group(self) -> Any:
        """What this member is in its group, for transactions."""
        return self._callbacks.group

    def run(self) -> None:
        try:
            self._work()
        except BaseException as e:
            self.error = e
        finally:
            self.finished.set()
            self._rt.wake()

    def leave_unconnected(self) -> None:
        self._callbacks.witness.leaving()
        self._callbacks.witness.closed()

    def _work(self) -> None:
        self._callbacks.witness.started()
        while (client := self._connector.connect()) is not None:
            self.connected = True
            loop = Loop(self._rt, self._settings, self._handover, self._report, self._callbacks, client)
            loop.accept(self._connector.early)
            try:
                self._turn(loop)
                return
            except errors.Fatal as e:
                self._replace(loop, e)
        self._callbacks.witness.leaving()
        self._callbacks.witness.closed()

    def _turn(self, loop: Loop) -> None:
        while not self._handover.ended:
            if self._broker_is_another():
                _kept.append(loop)
                self.recycle = "the embedded broker restarted"
                return
            if self._overdue():
                self._leave_without_the_main_thread(loop)
            loop.turn()
            if loop.watch.wish is not None and self.wish is None:
                self.wish = loop.watch.wish
                self._rt.wake()
        self._leave(loop)

    def _broker_is_another(self) -> bool:
        now = time.monotonic()
        if now - self._looked < 1.0:
            return False
        self._looked = now
        return self._connector.broker_is_another()

    def _overdue(self) -> bool:
        """SIGTERM came, and the record in hand takes longer than it may."""
        if not self._rt.stopping:
            return False
        self._stopping_since = self._stopping_since or time.monotonic()
        return time.monotonic() - self._stopping_since > self._settings.drain_timeout

    def _leave(self, loop: Loop) -> None:
        """Commit and leave the group. A broker that does not answer holds up nobody for longer than `close_timeout`."""
        watchdog = threading.Timer(self._settings.close_timeout, self._give_up)
        watchdog.daemon = True
        watchdog.start()
        if self._rt.leaving:
            self._callbacks.witness.leaving()
        loop.finish()
        self._handover.end()  # what is still in hand keeps no partition back: closing revokes them
        loop.consumer.close()
        self._callbacks.witness.closed()
        self._callbacks.progress.close()
        watchdog.cancel()
        self._report.set(member=None)

    def _give_up(self) -> None:
        reason = f"the broker did not answer within {self._settings.close_timeout:g} s: left without a commit"
        self._exit(reason if self.wish is None else f"{self.wish.reason}; and {reason}")

    def give_up(self) -> None:
        """From a third thread, when the other two are held up beyond their time."""
        most = self._settings.drain_timeout + self._settings.close_timeout
        self._exit(f"its record and the broker did not let it go within {most:g} s: left without a commit")

    def _leave_without_the_main_thread(self, loop: Loop) -> None:
        self._leave(loop)
        self._exit(f"the records in hand took longer than {self._settings.drain_timeout:g} s: they come again")

    def _exit(self, reason: str) -> None:
        """From a thread: the main one is in the user's code, or in nobody's."""
        log.warning("%s", reason)
        self._rt.post(Bye(Exit.TEMPFAIL, reason))
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                pass
        os._exit(Exit.TEMPFAIL)

    def _replace(self, loop: Loop, fatal: errors.Fatal) -> None:
        """This client is of no more use; the next one may be, now or when somebody has granted a right."""
        places = set(self._callbacks.assigned)
        self._handover.withdraw(places)
        self._handover.forget(places)
        self._report.tick("closing", CLOSING)
        loop.consumer.close()
        self._callbacks.reset()
        if fatal.error.code() in errors.NO_CONSUMER_PROTOCOL and self._connector.become_classic():
            return
        self._connector.retry_later(self._callbacks.missing(fatal.error))
