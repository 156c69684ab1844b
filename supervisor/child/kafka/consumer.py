"""RUNS IN A CHILD: one member of a consumer. The main thread handles records, the client has a thread of its own."""

from __future__ import annotations

import logging

from supervisor.child.kafka import assembly
from supervisor.child.kafka.client import Client
from supervisor.child.kafka.ending import Ending
from supervisor.child.kafka.handler import Handler
from supervisor.child.kafka.handover import Handover
from supervisor.child.kafka.ledger import LedgerUnknown
from supervisor.child.kafka.report import Report
from supervisor.child.runtime import Runtime
from supervisor.core.errors import Exit
from supervisor.core.spec import ConsumerSettings
from supervisor.core.wire.messages import Bye

log = logging.getLogger(__name__)

RECYCLING = 10.0  # seconds for a goodbye
LOOK = 1.0  # seconds between two looks at the other thread while no record comes


def run(rt: Runtime) -> int:
    """Handle records until the process is to leave. Raises LoadError when the handler cannot be used."""
    settings = rt.spec.settings
    assert isinstance(settings, ConsumerSettings)
    return Member(rt, settings, Handler(settings)).run()


class Member:
    def __init__(self, rt: Runtime, settings: ConsumerSettings, handler: Handler) -> None:
        self._rt, self._settings, self._handler = rt, settings, handler
        self._report = Report(rt.post)
        self._handover = Handover(rt.wake)
        ledger = assembly.ledger(settings, handler)
        self._client = Client(rt, settings, self._handover, self._report, ledger)
        self._handling = assembly.handling(
            rt,
            settings,
            handler,
            self._handover,
            self._report,
            ledger=ledger,
            bootstrap=lambda: self._client.bootstrap,
            group=lambda: self._client.group,
            leaving=self._is_leaving,
        )
        self._seen = -1

    def run(self) -> int:
        self._report.set(topics=list(self._settings.topics))
        self._rt.enter("connecting", self._settings.bootstrap_servers, budget=self._report.budget)
        self._rt.ready()
        self._client.start()
        Ending(self._rt, self._settings.drain_timeout + self._settings.close_timeout, self._client.give_up).start()
        try:
            self._serve()
        except BaseException:
            # the process ends: what was handled before is committed, and the group need not wait for a dead member
            self._leave()
            raise
        return self._end()

    def _serve(self) -> None:
        while not self._is_leaving():
            items = self._handover.next() if self._handling.has_room else None
            if items:
                self._handling.batch(items)
            elif not self._handling.turn():
                self._follow()
                self._rt.wait(LOOK)
        self._handling.finish()

    def _is_leaving(self) -> bool:
        client = self._client
        return self._rt.leaving or client.finished.is_set() or client.wish is not None or self._had_enough()

    def _had_enough(self) -> bool:
        most = self._settings.max_runs
        return most is not None and self._handover.handled >= most

    def _follow(self) -> None:
        """Take over what the other thread does, but only while it goes on: when it hangs, this phase grows old."""
        if self._report.ticks != self._seen:
            self._seen = self._report.ticks
            self._rt.enter(self._report.phase, ",".join(self._settings.topics), budget=self._report.budget)

    def _end(self) -> int:
        """Return the exit code, and say why when it is not obvious."""
        if self._client.error is not None:
            return self._failed(self._client.error)
        if self._client.recycle:  # its positions mean nothing on another broker: no commit
            self._rt.enter("recycling", budget=RECYCLING)
            return self._bye(Exit.OK, f"recycle: {self._client.recycle}")
        enough = self._had_enough() and not self._rt.leaving
        self._leave()
        if self._client.error is not None:
            return self._failed(self._client.error)
        if wish := self._client.wish:
            return self._bye(Exit.OK, f"recycle: {wish.reason}")
        return self._bye(Exit.OK, "recycle: max_runs records handled") if enough else Exit.OK

    def _leave(self) -> None:
        """Commit and close; the client's own watchdog ends the process when the broker does not answer."""
        budget = self._settings.drain_timeout + self._settings.close_timeout + 5.0
        if wish := self._client.wish:  # the next process finds it on the page
            self._rt.enter(wish.phase, wish.topic, budget=budget, partition=wish.partition, offset=wish.offset)
        else:
            self._rt.enter("closing", budget=budget)
        self._handover.end()
        if self._client.connected:
            self._client.finished.wait()
        else:  # it has joined nothing, and may sit in a probe
            self._client.leave_unconnected()
        self._handler.close()
        self._report.flush()

    def _failed(self, error: BaseException) -> int:
        if isinstance(error, LedgerUnknown):  # the database is away, or the broker: nobody is at fault
            log.error("the ledger cannot be read, so nothing may be handled: %s", error)
            return self._bye(Exit.TEMPFAIL, f"ledger: {error}")
        log.error("the thread of the Kafka client ended by an exception", exc_info=error)
        return self._bye(Exit.BUG, f"{type(error).__name__}: {error}")

    def _bye(self, code: int, reason: str) -> int:
        self._rt.post(Bye(code, reason))
        return code
