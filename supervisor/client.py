"""RUNS ANYWHERE: asks the running supervisor. Small on purpose: `status` must not wait for imports.

HTTP/1.1 by hand, one request per connection (http.client alone would cost 30 ms). Errors are for people.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from collections.abc import Mapping, Sequence
from typing import Any

from supervisor.core.errors import NotRunning, SupervisorError, TimedOut
from supervisor.core.paths import Paths
from supervisor.core.places import candidates, configured

MAX_REPLY = 64 * 1024 * 1024
MAX_CONFIG = 1024 * 1024  # bytes, as core/config allows
_CROWDED = 429  # turned away before the request was read, so asking again is safe
_TRIES = 20
_PIECE = 256 * 1024


def status(config: str | None = None, *, timeout: float = 10.0) -> dict[str, Any]:
    """Return the status of the supervisor of `config` (as the command finds it). Raises SupervisorError."""
    code, body = request(sockets(state_dir(config)), "GET", "/v1/status", timeout=timeout)
    if code != 200:
        raise SupervisorError(str(body.get("error", f"the supervisor answered {code}")))
    return body


def state_dir(config: str | None = None) -> str:
    """Return the configured state folder of `config`."""
    file = config_file(config)
    folder = os.path.expanduser(configured(config_text(file), os.environ))
    return os.path.normpath(os.path.join(os.path.dirname(file), folder))


def config_file(config: str | os.PathLike[str] | None = None) -> str:
    """Return the path of `config`, else of FORKWARDEN_CONFIG, else of ./config.toml; the file may be absent.

    A folder stands for the file in it, except one that has come into the place of that file.
    """
    file = os.path.abspath(config or os.environ.get("FORKWARDEN_CONFIG") or "config.toml")
    within = os.path.join(file, "config.toml")
    stands_for_it = os.path.basename(file) != "config.toml" or os.path.exists(within)
    return within if os.path.isdir(file) and stands_for_it else file


def config_text(file: str) -> str:
    """Return what stands in config.toml, "" when it is no plain file: a FIFO and /dev/zero would never end."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""  # removed since the start: its supervisor runs on
    try:
        plain = stat.S_ISREG(os.fstat(fd).st_mode)
        return os.read(fd, MAX_CONFIG).decode(errors="replace") if plain else ""
    finally:
        os.close(fd)


def sockets(state_dir: str) -> tuple[str, ...]:
    """Return where the control socket of this state folder may be: the same list the supervisor chose from."""
    head, tail = os.path.split(os.path.abspath(state_dir))
    roots = candidates(os.path.join(os.path.realpath(head), tail), os.environ, os.geteuid())
    return tuple(Paths(root).socket for root in roots)


def request(
    where: Paths | str | Sequence[str],
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    timeout: float | None = 10.0,
) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and the JSON of the reply.

    `where`: the state folder, a socket, or sockets to try in this order. `timeout`: seconds for all of it.
    Raises NotRunning, TimedOut, SupervisorError.
    """
    paths = (where.socket,) if isinstance(where, Paths) else (where,) if isinstance(where, str) else tuple(where)
    end = None if timeout is None else time.monotonic() + timeout
    for attempt in range(_TRIES):
        code, reply = _ask(paths, _render(method, path, body), end)
        if code != _CROWDED:
            break
        time.sleep(min(0.01 * 2**attempt, 0.1))  # others were faster; the supervisor is well
    return code, reply


def _ask(paths: Sequence[str], text: bytes, end: float | None) -> tuple[int, dict[str, Any]]:
    sock, path = _connect(paths, end)
    with sock:
        try:
            _send(sock, text, end)
            return _parse(_receive(sock, end), path)
        except TimeoutError as error:
            raise TimedOut(_silent(path)) from error


def _connect(paths: Sequence[str], end: float | None) -> tuple[socket.socket, str]:
    """The first that answers is the one: a socket file of an earlier life refuses."""
    for path in paths:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _knock(sock, path, end)
            return sock, path
        except BaseException as error:
            sock.close()
            if isinstance(error, PermissionError):
                hint = "run this as root or as the user who started it"
                raise SupervisorError(f"{path}: this user may not talk to the supervisor; {hint}") from error
            if isinstance(error, TimeoutError):
                raise TimedOut(_silent(path)) from error
            if not isinstance(error, OSError):  # no such file, refused, or too long a name: the next one
                raise
    tried = paths[0] if paths else "nothing"
    raise NotRunning(f"the supervisor is not running (no answer at {tried}); start it with: supervisor start")


def _knock(sock: socket.socket, path: str, end: float | None) -> None:
    """With a timeout a full backlog is an error at once (EAGAIN, unix(7)): wait for a place ourselves."""
    while True:
        sock.settimeout(_left(end))
        try:
            return sock.connect(path)
        except BlockingIOError:
            time.sleep(0.01)


def _left(end: float | None) -> float | None:
    if end is None:
        return None
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _send(sock: socket.socket, text: bytes, end: float | None) -> None:
    sock.settimeout(_left(end))
    try:
        sock.sendall(text)
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused before all was read; the reply says why


def _receive(sock: socket.socket, end: float | None) -> bytes:
    data = bytearray()
    while len(data) <= MAX_REPLY:
        sock.settimeout(_left(end))
        try:
            piece = sock.recv(_PIECE)
        except ConnectionResetError:  # closed with bytes of ours unread: what came before is the reply
            break
        if not piece:
            break
        data += piece
    return bytes(data)


def _render(method: str, path: str, body: Mapping[str, Any] | None) -> bytes:
    payload = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: supervisor\r\nConnection: close\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


def _parse(data: bytes, path: str) -> tuple[int, dict[str, Any]]:
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    try:
        code = int(lines[0].split()[1])
        body = json.loads(_unchunk(rest) if b"transfer-encoding: chunked" in lines[1:] else rest)
    except (ValueError, IndexError, RecursionError) as error:
        raise SupervisorError(
            f"{path}: expected a whole reply, got {len(data)} bytes; did the supervisor stop?"
        ) from error
    if not isinstance(body, dict):
        raise SupervisorError(f"{path}: expected a JSON object; is this the socket of another program?")
    return code, body


def _unchunk(data: bytes) -> bytes:
    """Raises ValueError when the last chunk is missing."""
    body = bytearray()
    at = 0
    while True:
        end = data.index(b"\r\n", at)
        size = int(data[at:end], 16)
        if size == 0:
            return bytes(body)
        body += data[end + 2 : end + 2 + size]
        at = end + 2 + size + 2


def _silent(path: str) -> str:
    log = os.path.join(os.path.dirname(path), "logs", "supervisor.log")
    return f"{path}: the supervisor took the request but did not answer in time: frozen or overloaded; see {log}"
