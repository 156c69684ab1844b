"""What the battery harms, the same code in each product: does what a file `do` says, looking ten times a second."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

HERE = os.environ.get("BATTERY") or os.path.dirname(os.path.abspath(__file__))


def note(name: str, text: object = "") -> None:
    with open(os.path.join(HERE, name), "a") as file:
        file.write(f"{text}\n")


note("births", f"{os.getpid()} {time.monotonic()}")


def act() -> None:
    try:
        os.rename(os.path.join(HERE, "do"), os.path.join(HERE, "doing"))
    except FileNotFoundError:
        note("acts", os.getpid())
        return
    with open(os.path.join(HERE, "doing")) as file:
        globals()[file.read().strip()]()


def deaf(forever: object) -> None:
    """As code that catches everything, also what a timeout raises in it."""
    while True:
        try:
            while True:
                forever()  # type: ignore[operator]
        except BaseException:
            pass


def exit_0() -> None:
    os._exit(0)


def crash() -> None:
    os._exit(1)


def spin() -> None:
    deaf(lambda: None)


def deadlock() -> None:
    lock = threading.Lock()
    lock.acquire()
    deaf(lock.acquire)


def hold() -> None:
    ctypes.PyDLL(None).sleep(1000)


def ignore_term() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    deaf(lambda: time.sleep(1))


def children() -> None:
    note("left", subprocess.Popen(["sleep", "600"]).pid)
    os.kill(os.getpid(), signal.SIGKILL)


def daemon() -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            note("left", os.getpid())
            os.closerange(0, 1000)
            os.execve("/bin/sleep", ["sleep", "600"], {})
        os._exit(0)
    os.wait()
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    crashing = os.path.join(HERE, "crashing")
    while True:
        act()
        if os.path.exists(crashing):
            time.sleep(1.2)
            crash()
        time.sleep(0.1)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *args: os._exit(0))
    sys.exit(main())
