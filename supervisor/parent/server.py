"""RUNS IN THE PARENT: who may ask, how many at once and how long; each whole request goes to `answer`.

Whatever clients do, the loop goes on: every read, write and accept returns at once, and 16 clients are the most
there are: 8 that send or read, of which the longest silent leaves for a new one, and 8 that wait for a reply.
"""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Callable, Mapping
from typing import Any

from supervisor.core.wire.control import Command, Refusal, changes, describe, parse, waits
from supervisor.parent.clients import Client, Gone, Peer, Request
from supervisor.parent.listener import Listener, OutOfFiles, say
from supervisor.parent.poller import Lane, Poller

MAX_CLIENTS = 8  # that send a request or read a reply
MAX_WAITING = 8  # whose reply comes later: a reload, a run that is waited for
REQUEST_TIMEOUT = 2.0  # from accept to the last byte of the request
REPLY_TIMEOUT = 10.0  # without one byte taken
PAUSE = 1.0  # not accepting, after the descriptors were used up
_ACCEPTS_A_TURN = 32  # more would let a flood of clients delay the rest of the loop
_REPORT_EVERY = 1.0  # refused clients are counted, so they cannot fill the log


class Respond:
    """The one reply to one command; it may come later, and the client may be gone by then."""

    __slots__ = ("_client", "_server")

    def __init__(self, server: Server, client: Client) -> None:
        self._server = server
        self._client: Client | None = client

    @property
    def gone(self) -> bool:
        return self._client is None or self._client.closed

    def send(self, status: int, body: Mapping[str, Any]) -> bool:
        """Reply. False: the client is gone, or has its reply already."""
        if self.gone or self._client is None:
            return False
        client, self._client = self._client, None
        self._server._reply(client, status, body)
        return True

    def refuse(self, refusal: Refusal) -> bool:
        return self.send(refusal.status, refusal.body())


Answer = Callable[[Command, Peer, Respond], None]
Report = Callable[[str, str], None]  # level, text: for the log


class Server:
    """`answer` replies before it returns, unless `control.waits(command)`."""

    def __init__(
        self,
        listener: Listener,
        poller: Poller,
        answer: Answer,
        *,
        control_uids: frozenset[int] = frozenset(),
        report: Report = lambda level, text: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listener = listener
        self._poller = poller
        self._answer = answer
        self._uids = control_uids | {0, os.geteuid()}
        self._report = report
        self._clock = clock
        self._clients: dict[int, Client] = {}
        self._paused_until: float | None = None
        self._refused = 0
        self._reported = -_REPORT_EVERY
        self.problem: str | None = None  # for `status`: why the socket is not in its place
        poller.register(listener.fileno(), Lane.CONTROL, select.EPOLLIN)

    def on_event(self, fd: int, mask: int, now: float) -> None:
        """`mask` is a hint only: within a turn the number of a closed descriptor may have gone to a new client."""
        if fd == self._listener.fileno():
            self._accept(now)
        elif client := self._clients.get(fd):
            self._advance(client, now)

    def deadline(self) -> float | None:
        """When `expire` has something to do, monotonic."""
        times = [client.until for client in self._clients.values() if client.phase != "waiting"]
        if self._paused_until is not None:
            times.append(self._paused_until)
        return min(times, default=None)

    def expire(self, now: float) -> None:
        if self._paused_until is not None and self._paused_until <= now:
            self._paused_until = None
            self._poller.modify(self._listener.fileno(), select.EPOLLIN)
        for client in [c for c in self._clients.values() if c.phase != "waiting" and c.until <= now]:
            late = Refusal(408, f"expected a whole request within {REQUEST_TIMEOUT:g} s")
            self._dismiss(client, late if client.phase == "reading" else None)

    def check(self) -> None:
        """Once a second, one lstat: when somebody removed the socket from its place, make it again."""
        if self._listener.in_place():
            return
        before = self._listener.fileno()
        self._poller.unregister(before)
        try:
            self._listener.bind_again()
        except OSError as error:
            problem = (
                f"{self._listener.path}: the control socket was removed and cannot be made again: {error.strerror}"
            )
            if self.problem is None:
                self._report("error", problem)
            self.problem = problem
        else:
            self.problem = None
            self._report("warning", f"{self._listener.path}: the control socket was removed; made again")
        self._paused_until = None
        self._poller.register(self._listener.fileno(), Lane.CONTROL, select.EPOLLIN)

    def close(self) -> None:
        for client in list(self._clients.values()):
            self._drop(client)
        self._poller.unregister(self._listener.fileno())
        self._listener.close()

    def _accept(self, now: float) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                sock = self._listener.accept()
            except OutOfFiles:
                self._pause(now)
                return
            if sock is None:
                return
            try:
                client = Client(sock, now=now, until=now + REQUEST_TIMEOUT)
            except OSError:  # who it is cannot be told, so it may not ask
                sock.close()
                continue
            self._make_room(now)
            self._clients[sock.fileno()] = client
            if client.peer.uid in self._uids:
                self._advance(client, now)  # its request has often come with it
            else:
                self._refuse_peer(client, now)

    def _pause(self, now: float) -> None:
        busy = Refusal(503, "the supervisor has no file descriptor left", "raise the limit (ulimit -n) and restart it")
        self._listener.turn_away(_bare(busy))
        self._poller.modify(self._listener.fileno(), 0)
        self._paused_until = now + PAUSE
        self._say_refused("no file descriptor left for control clients", now)

    def _make_room(self, now: float) -> None:
        """Look at the longest silent ones first: a request that came meanwhile is answered, not thrown away."""
        while len(active := [client for client in self._clients.values() if client.phase != "waiting"]) >= MAX_CLIENTS:
            silent = min(active, key=lambda client: client.heard)
            phase, heard = silent.phase, silent.heard
            self._advance(silent, now)
            if not silent.closed and silent.phase == phase and silent.heard == heard:
                crowd = Refusal(429, f"more than {MAX_CLIENTS} clients at once", "try again")
                self._dismiss(silent, crowd if phase == "reading" else None)

    def _refuse_peer(self, client: Client, now: float) -> None:
        uid, pid = client.peer.uid, client.peer.pid
        self._dismiss(client, Refusal(403, f"uid {uid} may not control this supervisor", "see supervisor.control_uids"))
        self._say_refused(f"refused a control client of uid {uid}, pid {pid}", now)

    def _say_refused(self, text: str, now: float) -> None:
        self._refused += 1
        if now - self._reported < _REPORT_EVERY:
            return
        more = f" (and {self._refused - 1} more)" if self._refused > 1 else ""
        self._refused, self._reported = 0, now
        self._report("warning", text + more)

    def _advance(self, client: Client, now: float) -> None:
        try:
            match client.phase:
                case "reading":
                    self._read(client, now)
                case "writing":
                    self._write(client, now)
                case "waiting":
                    if _hung_up(client):
                        self._drop(client)
        except Gone:
            self._drop(client)

    def _read(self, client: Client, now: float) -> None:
        match client.read(now):
            case None:
                self._watch(client, select.EPOLLIN)
            case Refusal() as refusal:
                self._reply(client, refusal.status, refusal.body())
            case Request(method, target, body):
                self._obey(client, parse(method, target, body))

    def _obey(self, client: Client, command: Command | Refusal) -> None:
        if not isinstance(command, Refusal) and waits(command) and self._waiting() >= MAX_WAITING:
            command = Refusal(503, f"{MAX_WAITING} clients wait for a reply already", "try again, without waiting")
        if isinstance(command, Refusal):
            self._reply(client, command.status, command.body())
            return
        if changes(command):
            self._report("info", f"{describe(command)}, asked for by uid {client.peer.uid}, pid {client.peer.pid}")
        client.phase = "waiting"
        respond = Respond(self, client)
        try:
            self._answer(command, client.peer, respond)
        except Exception as error:  # contained: one request must not end the supervision of all children
            self._report("error", f"{describe(command)}: a bug in the supervisor: {error!r}")
            respond.send(500, {"error": f"a bug in the supervisor: {error!r}", "suggestion": None})
        if client.phase == "waiting" and not respond.gone:
            self._watch(client, 0)  # EPOLLHUP comes unasked: the client left

    def _waiting(self) -> int:
        return sum(client.phase == "waiting" for client in self._clients.values())

    def _reply(self, client: Client, status: int, body: Mapping[str, Any]) -> None:
        client.reply(status, body)
        client.heard = now = self._clock()
        try:
            self._write(client, now)
        except Gone:
            self._drop(client)

    def _write(self, client: Client, now: float) -> None:
        if client.write(now):
            self._drop(client)
        else:
            client.until = client.heard + REPLY_TIMEOUT
            self._watch(client, select.EPOLLOUT)

    def _watch(self, client: Client, mask: int) -> None:
        if client.mask is None:
            try:
                self._poller.register(client.sock.fileno(), Lane.CONTROL, mask)
            except OSError as error:  # no memory, too many watches: one that we would not hear
                raise Gone from error
        elif client.mask != mask:
            self._poller.modify(client.sock.fileno(), mask)
        client.mask = mask

    def _dismiss(self, client: Client, refusal: Refusal | None) -> None:
        if refusal:
            say(client.sock, _bare(refusal))
        self._drop(client)

    def _drop(self, client: Client) -> None:
        fd = client.sock.fileno()
        if self._clients.pop(fd, None) is not None:
            if client.mask is not None:
                self._poller.unregister(fd)
            client.close()


def _hung_up(client: Client) -> bool:
    poll = select.poll()
    poll.register(client.sock.fileno(), 0)
    return bool(poll.poll(0))


def _bare(refusal: Refusal) -> bytes:
    """A reply outside any parser, for a client whose request is not read to its end."""
    body = json.dumps(refusal.body()).encode() + b"\n"
    head = f"HTTP/1.1 {refusal.status} refused\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
