"""RUNS IN PYTEST: answers on the control socket as the supervisor does, and remembers what it was asked."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Answer = tuple[int, dict[str, Any]]


class StandIn:
    """`answer(method, path, body)` gives the status code and the JSON. Holds the lock, as the real one."""

    def __init__(self, state: Path, answer: Callable[[str, str, dict[str, Any]], Answer]) -> None:
        self.state = state
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self._answer = answer
        self._socket = socket.socket(socket.AF_UNIX)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self.state.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._socket.bind(str(self.state / "ctl.sock"))
        self._socket.listen()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # ends accept()
        self._thread.join(10)
        self._socket.close()
        self.free_lock()

    def free_lock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client, client.makefile("rb") as request:
                method, path, _ = request.readline().decode().split()
                length = 0
                while header := request.readline().strip():
                    name, _, value = header.decode().partition(":")
                    length = int(value) if name.lower() == "content-length" else length
                body = json.loads(request.read(length) or b"{}")
                self.asked.append((method, path, body))
                code, reply = self._answer(method, path, body)
                payload = json.dumps(reply).encode()
                client.sendall(f"HTTP/1.1 {code} X\r\nContent-Length: {len(payload)}\r\n\r\n".encode() + payload)
