"""RUNS IN THE PARENT: the one wait. Everything that can happen is a descriptor in this epoll, or a deadline."""

from __future__ import annotations

import math
import select
from collections.abc import Callable, Mapping
from enum import IntEnum


class Lane(IntEnum):
    """What a descriptor stands for. A turn takes them in this order."""

    SIGNAL = 0
    MESSAGE = 1  # frames of a child, before its exit: its last words are read first
    EXIT = 2
    STRANGER = 3
    GUARD = 4
    HELPER = 5
    CONTROL = 6


class Poller:
    """An epoll that knows the lane of each descriptor.

    Unregister before close, always: a descriptor that a forked process still holds keeps
    reporting after the close and can then not be removed any more (epoll(7)).
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._lanes: dict[int, Lane] = {}

    def register(self, fd: int, lane: Lane, mask: int = select.EPOLLIN) -> None:
        self._epoll.register(fd, mask)
        self._lanes[fd] = lane

    def register_all(self, lanes: Mapping[int, Lane], *, otherwise: Callable[[], None]) -> None:
        """All of these, or none: when the kernel has no room for one, `otherwise` is called. Raises OSError."""
        try:
            for fd, lane in lanes.items():
                self.register(fd, lane)
        except OSError:
            for fd in lanes:
                self.unregister(fd)
            otherwise()
            raise

    def modify(self, fd: int, mask: int) -> None:
        self._epoll.modify(fd, mask)

    def unregister(self, fd: int) -> None:
        if self._lanes.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def wait(self, timeout: float | None) -> list[tuple[Lane, int, int]]:
        """Return what is ready as (lane, fd, mask), lowest lane first."""
        # epoll counts whole milliseconds: rounding up, or the loop spins for the last fraction of a wait
        seconds = -1.0 if timeout is None else math.ceil(max(0.0, timeout) * 1000) / 1000
        ready = self._epoll.poll(seconds)
        return sorted((self._lanes[fd], fd, mask) for fd, mask in ready if fd in self._lanes)

    def close(self) -> None:
        self._epoll.close()
