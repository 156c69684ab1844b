"""RUNS IN PYTEST: a real HTTP server on loopback for alerts: it answers, fails, hangs, refuses, and comes back."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support.eventually import eventually

PATH = "/hook/canary"  # as secret as a webhook's address


class Target:
    """`status` is what it answers; while `hangs` is set it answers nothing at all."""

    def __init__(self) -> None:
        self.status = 200
        self.hanging = threading.Event()
        self.received: list[dict[str, Any]] = []  # every attempt
        self.accepted: list[dict[str, Any]] = []  # those that were answered with 2xx
        self.headers: list[dict[str, str]] = []
        self._go_on = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self._server.target = self
        self._server.server_bind()
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{PATH}"

    def open(self) -> None:
        """Until now it refused connections."""
        self._server.server_activate()
        self._thread.start()

    def hang(self) -> None:
        self.hanging.set()

    def go_on(self) -> None:
        self.hanging.clear()
        with self._go_on:
            self._go_on.notify_all()

    def wait_for(self, kind: str, within: float = 60.0) -> dict[str, Any]:
        """Return the first alert of that kind that was taken."""

        def found() -> dict[str, Any] | None:
            return next((body for body in list(self.accepted) if body["kind"] == kind), None)

        return eventually(found, within=within, what=f"an alert of kind {kind}") or {}

    def answer(self, body: dict[str, Any], headers: dict[str, str]) -> int:
        self.received.append(body)
        self.headers.append(headers)
        with self._go_on:
            self._go_on.wait_for(lambda: not self.hanging.is_set())
        if 200 <= self.status < 300:
            self.accepted.append(body)
        return self.status

    def close(self) -> None:
        self.go_on()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()  # waits for the threads of the requests


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    target: Target

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that did not wait for the answer is what the test is about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.target.answer(body, dict(self.headers))
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", f"{self.server.target.url}/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test looks at what was received."""


@contextmanager
def target(*, refusing: bool = False) -> Iterator[Target]:
    made = Target()
    try:
        if not refusing:
            made.open()
        yield made
    finally:
        made.close()
