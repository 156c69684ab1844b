"""RUNS IN THE PARENT: tells systemd how we are, by the protocol of sd_notify(3): datagrams to a socket that it names.

Nothing waits and nothing raises: what systemd cannot take now is said again, or is not worth it. WATCHDOG=1 comes
from the loop itself: a loop that stands still is what the watchdog is for. No child learns of the socket.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

from supervisor.core.escape import line
from supervisor.core.lifecycle.events import State
from supervisor.core.lifecycle.fleet import Fleet

AGAIN = 1.0  # seconds until what was not taken is said again
NAMED = 3  # children that are not well, in one line of `systemctl status`
LONGEST = 400  # characters of that line


class Notify:
    """Silent without NOTIFY_SOCKET. Takes systemd's variables out of `env`, which the children inherit."""

    def __init__(self, env: MutableMapping[str, str], *, pid: int) -> None:
        address = env.pop("NOTIFY_SOCKET", "")
        every, of = env.pop("WATCHDOG_USEC", ""), env.pop("WATCHDOG_PID", str(pid))
        self._address = _address(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if self._address else None
        self._pid = pid
        self._every = int(every) / 2e6 if every.isdecimal() and int(every) and of == str(pid) else None
        self._next = 0.0 if self._socket and self._every else None  # of the watchdog
        self._status = ""
        self._up = self._busy = self._stopping = False

    @property
    def wanted(self) -> bool:
        return self._socket is not None

    def tick(self, now: float, *, up: bool) -> None:
        """Every turn of the loop. `up`: the first forks are done."""
        if up and not (self._up or self._busy or self._stopping):
            self._up = self._send(f"READY=1\nMAINPID={self._pid}")
        if self._next is not None and self._every is not None and now >= self._next:
            self._next = now + (self._every if self._send("WATCHDOG=1") else min(AGAIN, self._every / 4))

    def deadline(self) -> float | None:
        return self._next

    def status(self, text: str) -> None:
        """Say it when it is another one than before."""
        if text != self._status and self._send(f"STATUS={line(text)[:LONGEST]}"):
            self._status = text

    def reloading(self) -> None:
        if self._up and not self._stopping:
            self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
            self._busy, self._up = True, False

    def reloaded(self) -> None:
        """The turn in which it was done ends with READY=1 again."""
        self._busy = False

    def stopping(self, why: str) -> None:
        self._stopping = True
        self._send(f"STOPPING=1\nSTATUS={line(f'stopping: {why}')[:LONGEST]}")

    def close(self) -> None:
        if self._socket:
            self._socket.close()

    def _send(self, text: str) -> bool:
        """Return whether it was taken, or there is nobody to take it."""
        if self._socket is None:
            return True
        try:
            self._socket.sendto(text.encode(errors="replace"), socket.MSG_DONTWAIT, self._address)
        except OSError:
            return False
        return True


def summary(fleet: Fleet) -> str:
    """Return "5 of 6 ready; report: backoff"."""
    wanted = [child for child in fleet.children.values() if child.wanted]
    others = [f"{child.name}: {child.state}" for child in wanted if child.state is not State.RUNNING]
    more = [f"and {len(others) - NAMED} more"] if len(others) > NAMED else []
    return "; ".join([f"{len(wanted) - len(others)} of {len(wanted)} ready", *others[:NAMED], *more])


def _address(text: str) -> bytes:
    """A path, or "@" for an abstract name. Others (vsock) are not of this machine."""
    name = os.fsencode(text)
    return b"\0" + name[1:] if name.startswith(b"@") else name if name.startswith(b"/") else b""
