"""The same idle loop as a process of gunicorn's: it beats as gunicorn's own do, and serves nothing."""

import os
import signal
import time

import idle_script
from gunicorn.workers.base import Worker


def app(environ, start_response):  # type: ignore[no-untyped-def]
    raise NotImplementedError


class Idle(Worker):  # type: ignore[misc]
    def init_signals(self) -> None:
        super().init_signals()
        signal.signal(
            signal.SIGTERM, lambda *args: os._exit(0)
        )  # a sleep goes on after a handler that only sets a flag
        idle_script.fall_ill_on_signal()

    def run(self) -> None:
        idle_script.schedule.every().hour.do(idle_script.idle)
        idle_script.say_ready()
        while self.alive and os.getppid() == self.ppid:  # as its sync ones do
            self.notify()
            idle_script.schedule.run_pending()
            time.sleep(1)
