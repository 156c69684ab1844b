"""RUNS IN PYTEST: a real HTTP server on loopback that answers what the test says and keeps what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Webhook:
    """`answer` is called with each JSON body and returns the status code."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], int] = lambda body: 200
        self.url = ""

    @property
    def event_ids(self) -> list[str]:
        return [body["event_id"] for body in self.received]


@contextmanager
def webhook() -> Iterator[Webhook]:
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.received.append(body)
            self.send_response(hook.answer(body))
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the test looks at what was received."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}/notify"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
