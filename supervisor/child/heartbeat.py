"""RUNS IN A CHILD: the one extra thread. It sends the beat, and waits on the orders pipe in between.

It proves that the process lives and that the interpreter lock is free now and then; that the main thread
gets on is told by the black box page, which this thread never touches.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
import traceback

from supervisor.child import code
from supervisor.child.output import rotate
from supervisor.child.runtime import Runtime
from supervisor.child.usage import Usage
from supervisor.core.wire.frames import Decoder
from supervisor.core.wire.messages import Beat, Order, order_from_frame
from supervisor.core.wire.stacks import split
from supervisor.forked import PARENT_GONE

STACKS_WITHIN = 1.0  # seconds for the next part to find room in the pipe
FRAMES = 60  # of one thread, the innermost ones


class Heartbeat:
    """Runs until the process ends."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._interval = runtime.spec.policy.heartbeat_interval
        self._usage = Usage()
        self._decoder = Decoder()
        self._log = runtime.paths.log(runtime.spec.name)
        self._code = code.Code(runtime.supervisor.project_dir) if runtime.supervisor.reload_code else None

    def start(self) -> None:
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def _run(self) -> None:
        # the process's signals are the main thread's: it can act on them
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGALRM})
        orders = select.poll()
        orders.register(self._runtime.birth.orders, select.POLLIN)
        due = time.monotonic()
        while True:
            self._beat()
            due = max(due + self._interval, time.monotonic())  # after a freeze: one beat, not all that were missed
            while (left := due - time.monotonic()) > 0:
                if orders.poll(left * 1000):
                    self._take_orders()

    def _beat(self) -> None:
        runtime = self._runtime
        runtime.post(Beat(self._usage.rss(), self._usage.cpu(), runtime.dropped))
        runtime.flush_facts()
        rotate(self._log, runtime.supervisor.log_max_bytes, runtime.supervisor.log_keep)
        if self._code and not runtime.leaving and (file := self._code.changed()):
            code.leave(runtime, file)

    def _take_orders(self) -> None:
        data = os.read(self._runtime.birth.orders, 65536)
        if not data:
            os._exit(PARENT_GONE)  # PDEATHSIG has killed us by now; this is for a kernel that did not
        for frame in self._decoder.feed(data):
            self._obey(order_from_frame(frame))

    def _obey(self, order: Order) -> None:
        if order.verb == "stack":
            self._tell_stacks(str(order.args.get("id", "")))
        elif order.verb == "usage":
            self._runtime.facts_now(usage=self._usage.detail())
        else:
            self._runtime.deliver(order)

    def _tell_stacks(self, id: str) -> None:
        """More than a pipe may hold at the moment; the parent takes it out, or gives up before we do."""
        pipe = select.poll()
        pipe.register(self._runtime.birth.messages, select.POLLOUT)
        for part in split(id, stacks()):
            pipe.poll(STACKS_WITHIN * 1000)
            if not self._runtime.post(part):
                return


def stacks() -> str:
    """Return the Python stacks of all threads but this one, innermost call last."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames()
    frames.pop(threading.get_ident(), None)  # a frame that holds itself would wait for the garbage collector
    order = sorted(frames, key=lambda ident: ident != threading.main_thread().ident)  # the main thread first
    return "\n".join(
        f"thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frames[ident], FRAMES))}"
        for ident in order
    )
