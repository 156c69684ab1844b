"""What the peers keep alive: imports what it is told to, says that it is ready, then idles in a loop of `schedule`.

Also the module of our own tasks and of gunicorn's application, so that the same code is imported in each.
The real-time signals make it ill: 36 spins, 37 deadlocks, 38 holds the interpreter's lock.
"""

import importlib
import os
import signal
import sys
import time

HEAVY = ("confluent_kafka", "sqlalchemy.orm", "pydantic")

import schedule  # noqa: E402  what every one of them imports

if os.environ.get("BENCH_HEAVY"):
    for module in HEAVY:
        importlib.import_module(module)


def say_ready() -> None:
    line = f"{os.getpid()} {time.monotonic()}\n".encode()
    fd = os.open(os.environ["BENCH_READY"], os.O_WRONLY | os.O_APPEND)
    os.write(fd, line)
    os.close(fd)


def spin(*args: object) -> None:
    while True:
        pass


def deadlock(*args: object) -> None:
    import threading

    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def hold(*args: object) -> None:
    """C code that does not let go of the interpreter's lock."""
    import ctypes

    ctypes.PyDLL(None).sleep(1000)


def fall_ill_on_signal() -> None:
    for number, illness in ((36, spin), (37, deadlock), (38, hold)):
        signal.signal(number, illness)


def idle() -> None:
    """A task of ours that runs once an hour: the loop is the supervisor's."""


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *args: os._exit(0))
    fall_ill_on_signal()
    schedule.every().hour.do(idle)
    say_ready()
    while True:
        schedule.run_pending()
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
