"""RUNS IN A CHILD: SIGTERM ends a consumer within the time to drain and to close, whatever its threads wait for.

The main thread may be in a library's C code, where no signal handler of Python's runs; the thread of the client may
wait for a broker that hangs. So a third one sleeps on the pipe that the interpreter itself writes the signal to.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

from supervisor.child.runtime import Runtime

MARGIN = 0.3  # seconds: the other two threads give up first, and say better why


class Ending(threading.Thread):
    def __init__(self, rt: Runtime, within: float, give_up: Callable[[], None]) -> None:
        """To be made in the main thread. `give_up` ends the process."""
        super().__init__(name="ending", daemon=True)
        self._rt, self._within, self._give_up = rt, within, give_up
        self._out, into = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(into, False)
        signal.set_wakeup_fd(into, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=_not_in_a_fork)  # a signal for a process that user code forked is not ours

    def run(self) -> None:
        while signal.SIGTERM not in os.read(self._out, 64):
            pass
        self._rt.stopping = True
        self._rt.wake()
        time.sleep(self._within + MARGIN)
        self._give_up()


def _not_in_a_fork() -> None:
    signal.set_wakeup_fd(-1)
