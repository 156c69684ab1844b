"""RUNS IN A CHILD: what a runner or consumer has of the supervisor.

The main thread says what it does (`enter`), waits (`wait`) and takes orders (`next_order`).
The one extra thread (heartbeat) sends what the main thread left here. Nothing here blocks on the parent.
"""

from __future__ import annotations

import math
import os
import select
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from supervisor.child.birth import Birth
from supervisor.core.paths import Paths
from supervisor.core.wire import frames, page
from supervisor.core.wire.messages import Facts, Message, Notice, Order, Ready, Run, to_frame
from supervisor.forked import give_back_memory


class Runtime:
    """One per process. Only the main thread calls it, save `post` and `deliver`."""

    def __init__(self, birth: Birth) -> None:
        self.birth = birth
        self.spec = birth.spec
        self.supervisor = birth.supervisor
        self.paths = Paths(birth.supervisor.state_dir)
        self.stopping = False  # SIGTERM came: grace period runs
        self.draining = False  # planned change: finish what is in hand, take nothing new
        self.held = birth.extra.get("held") is True  # a consumer takes nothing new and stays in its group
        self.woken = False  # something has changed since the main thread took this back
        self.dropped = 0  # frames that met a full pipe
        self._count = self._ran = 0
        self._page = memoryview(birth.page)
        self._facts: dict[str, Any] = {}  # what the parent was told
        self._pending: dict[str, Any] = {}  # what it is told with the next beat
        self._orders: deque[Order] = deque()
        self._chaos = ""  # what harm was ordered
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    @property
    def leaving(self) -> bool:
        """No new run, no new record."""
        return self.stopping or self.draining

    def enter(
        self, phase: str, subject: str = "", *, budget: float | None = None, partition: int = -1, offset: int = -1
    ) -> None:
        """Say what the main thread does from now on, and for how many seconds at most (None: no end).

        Staying longer is "stuck": the parent takes the stacks and replaces the process.
        """
        self._count += 1
        page.write(
            self._page,
            self._count,
            phase.encode(),
            time.monotonic(),
            math.inf if budget is None else budget,
            subject.encode()[: page.SUBJECT_BYTES],
            partition,
            offset,
        )
        if self._chaos:
            self._misbehave(phase)

    def entering(self, phase: str, subject: str, budget: float | None) -> Callable[[int, int], None]:
        """Return `enter` for the records of one topic, with all that is the same for each of them made ready."""
        most, raw = math.inf if budget is None else budget, phase.encode()
        topic = subject.encode()[: page.SUBJECT_BYTES]
        box, pack, clock = self._page, page.HEAD.pack_into, time.monotonic

        def entered(partition: int, offset: int) -> None:
            self._count = count = self._count + 1
            pack(box, 0, count, clock(), most, raw, partition, offset, topic, count)
            if self._chaos:
                self._misbehave(phase)

        return entered

    def member(self, member_id: str) -> None:
        page.write_member(self._page, member_id)

    def ran(self, slot: float) -> None:
        """A slot of the schedule starts: what the next process must know where no record can be written."""
        self._ran += 1
        page.write_ran(self._page, self._ran, slot)

    def ready(self) -> None:
        """User code is loaded and the loop is entered."""
        self.post(Ready())
        give_back_memory()  # what loading took, an eighth of a MiB and more: now nobody waits for us

    def facts(self, **changes: Any) -> None:
        """Change what `status` shows; sent with the next beat, only what is new. None removes."""
        for key, value in changes.items():
            if self._facts.get(key) != value:
                self._facts[key] = value
                self._pending[key] = value

    def facts_now(self, **changes: Any) -> None:
        """As `facts`, sent at once: people wait for it."""
        self.facts(**changes)
        self.flush_facts()

    def flush_facts(self) -> None:
        """Send what changed. Called by the heartbeat thread too: one atomic swap, so nothing is sent twice."""
        pending, self._pending = self._pending, {}
        if pending and not self._post_facts(pending):
            self._pending = {**pending, **self._pending}

    def _post_facts(self, facts: dict[str, Any]) -> bool:
        """Facts that do not fit a frame together go in several; one that does not fit alone is dropped, and counted."""
        try:
            return self._write(Facts(facts))
        except frames.FrameTooLarge:
            if len(facts) == 1:
                self.dropped += 1
                return True
        keys = list(facts)
        halves = keys[: len(keys) // 2], keys[len(keys) // 2 :]
        return all(self._post_facts({key: facts[key] for key in half}) for half in halves)

    def notice(self, level: str, code: str, text: str) -> None:
        self.post(Notice(level, code, text))

    def run_ended(self, result: Mapping[str, Any]) -> None:
        self.post(Run(result))

    def post(self, message: Message) -> bool:
        """Write one frame without blocking. False: pipe full, parent gone, or too large for a frame; it was counted."""
        try:
            return self._write(message)
        except frames.FrameTooLarge:
            self.dropped += 1
            return False

    def _write(self, message: Message) -> bool:
        try:
            os.write(self.birth.messages, frames.encode(to_frame(message)))
        except OSError:  # full, or closed by its other end or by user code: the parent sees the silence
            self.dropped += 1
            return False
        return True

    def deliver(self, order: Order) -> None:
        """From the heartbeat thread: an order for the main thread."""
        if order.verb == "drain":
            self.draining = True
        elif order.verb == "chaos":
            self._chaos = str(order.args.get("how"))
        elif order.verb == "hold":
            self.held = order.args.get("on") is True
        else:
            self._orders.append(order)
        self.wake()

    def wake(self) -> None:
        """End the main thread's wait. Safe in a signal handler and in any thread."""
        self.woken = True
        os.eventfd_write(self.wake_fd, 1)

    def next_order(self) -> Order | None:
        return self._orders.popleft() if self._orders else None

    def wait(self, timeout: float | None) -> None:
        """Sleep until `timeout` seconds are over, an order comes, or the process is to leave."""
        poller = select.poll()
        poller.register(self.wake_fd, select.POLLIN)
        poller.poll(None if timeout is None else max(0.0, timeout) * 1000)
        self.acknowledge()

    def acknowledge(self) -> None:
        """Take the wake-up back; orders and flags stay to be looked at."""
        try:
            os.eventfd_read(self.wake_fd)
        except BlockingIOError:
            pass
        if self._chaos:
            self._misbehave()

    def _misbehave(self, phase: str = "") -> None:
        from supervisor.child import chaos  # a process that nobody harms does without it

        if chaos.is_due(self._chaos, phase):
            how, self._chaos = self._chaos, ""
            chaos.act(how, self)
