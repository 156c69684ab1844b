"""RUNS IN PYTEST: a small Schema Registry on loopback: real HTTP, the paths and answers of Confluent's REST API.

Only what a reader of records asks for: schemas by their id. What it was asked is kept.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_BY_ID = re.compile(r"/schemas/ids/([0-9]+)")


@dataclass
class Registry:
    url: str = ""
    schemas: dict[int, dict[str, Any]] = field(default_factory=dict)  # id -> what the registry answers
    asked: list[str] = field(default_factory=list)  # paths, with their queries
    authorization: list[str | None] = field(default_factory=list)
    broken: int = 0  # status code that it answers to everything, 0: it is well

    def add(self, number: int, schema: str, kind: str = "AVRO") -> int:
        self.schemas[number] = {"schema": schema} | ({} if kind == "AVRO" else {"schemaType": kind})
        return number

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        if self.broken:
            return self.broken, {"error_code": self.broken * 100 + 1, "message": "Error in the backend datastore"}
        found = _BY_ID.fullmatch(urlsplit(path).path)
        if found is None:
            return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}
        schema = self.schemas.get(int(found[1]))
        return (200, schema) if schema else (404, {"error_code": 40403, "message": f"Schema {found[1]} not found"})


@contextmanager
def registry() -> Iterator[Registry]:
    made = Registry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            made.asked.append(self.path)
            made.authorization.append(self.headers["Authorization"])
            code, body = made.answer(self.path)
            raw = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the test looks at what was asked."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
