"""RUNS IN PYTEST and in a process forked from it: the control server in a real loop, with nothing else in it.

Commands mean: status tells about the process, `show big` replies with 3 MiB, `show broken` is a bug, `show nan` a NaN,
`run` with wait is answered by the next `restart`, reload never.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from supervisor import client
from supervisor.core.wire.control import ChildDetail, Command, Reload, Restart, Run, Status
from supervisor.parent.clients import Peer
from supervisor.parent.listener import Listener
from supervisor.parent.poller import Poller
from supervisor.parent.server import Respond, Server

BIG = 3 * 1024 * 1024


class _Loop:
    def __init__(self, path: str, uids: frozenset[int]) -> None:
        self.turns = 0
        self.waiting: list[Respond] = []
        self.reports: list[str] = []
        self.ballast: list[int] = []
        self.poller = Poller()
        self.server = Server(Listener(path), self.poller, self.answer, control_uids=uids, report=self.report)

    def report(self, level: str, text: str) -> None:
        self.reports.append(f"{level}: {text}")

    def run(self) -> None:
        while True:
            deadline = self.server.deadline()
            timeout = 0.1 if deadline is None else min(0.1, max(0.0, deadline - time.monotonic()))
            for _, fd, mask in self.poller.wait(timeout):
                self.server.on_event(fd, mask, time.monotonic())
            self.server.expire(time.monotonic())
            self.server.check()
            self.turns += 1

    def answer(self, command: Command, peer: Peer, respond: Respond) -> None:
        match command:
            case Status():
                respond.send(200, self.status())
            case ChildDetail("big"):
                respond.send(200, {"text": "x" * BIG})
            case ChildDetail("nan"):
                respond.send(200, {"lag": float("nan"), "more": [float("inf"), {"ok": 1.5}]})
            case ChildDetail("broken"):
                raise KeyError("a bug")
            case Run(wait=True) | Reload():
                self.waiting.append(respond)
            case Restart():
                sent = [respond.send(200, {"run": "ended"}) for respond in self.waiting]
                self.waiting.clear()
                respond.send(200, {"sent": sent})
            case _:
                respond.send(200, {"uid": peer.uid, "pid": peer.pid})

    def status(self) -> dict[str, Any]:
        statm = Path("/proc/self/statm").read_text().split()
        return {
            "pid": os.getpid(),
            "turns": self.turns,
            "cpu": time.process_time(),
            "rss": int(statm[1]) * resource.getpagesize(),
            "fds": len(os.listdir("/proc/self/fd")),
            "gone": [respond.gone for respond in self.waiting],
            "reports": self.reports,
            "problem": self.server.problem,
        }

    def use_up_descriptors(self) -> None:
        """Leave none: the server's one reserve apart."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        try:
            while True:
                self.ballast.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass

    def free_descriptors(self) -> None:
        while self.ballast:
            os.close(self.ballast.pop())


@contextmanager
def serving(path: str, *, uids: Sequence[int] = (), short_of_descriptors: bool = False) -> Iterator[int]:
    """A forked process that serves `path`; its pid. SIGUSR1 gives it descriptors again."""
    ready, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        _serve(path, uids, say, short_of_descriptors=short_of_descriptors)
    os.close(say)
    try:
        assert os.read(ready, 1) == b"!", "the server did not start"
        yield pid
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _serve(path: str, uids: Sequence[int], say: int, *, short_of_descriptors: bool) -> None:
    try:
        loop = _Loop(path, frozenset(uids))
        signal.signal(signal.SIGUSR1, lambda *_: loop.free_descriptors())
        if short_of_descriptors:
            loop.use_up_descriptors()
        os.write(say, b"!")
        loop.run()
    finally:
        os._exit(1)


def status(path: str) -> dict[str, Any]:
    code, body = client.request(path, "GET", "/v1/status", timeout=60.0)
    assert code == 200, body
    return body


def connected(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.connect(path)  # without a timeout: with one, a full backlog is an error at once
    except BaseException:
        made.close()
        raise
    made.settimeout(60.0)
    return made


def push(sock: socket.socket, data: bytes) -> None:
    """Send; it may have been refused before."""
    try:
        sock.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        pass


def everything(sock: socket.socket) -> bytes:
    """All that comes until the other side ends it."""
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        pass  # bytes of ours were not read
    return data
