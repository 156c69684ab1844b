"""The client says what is the matter in one sentence, whoever answers, and imports next to nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor import client
from supervisor.core.errors import Exit, NotRunning, SupervisorError, TimedOut
from supervisor.core.paths import Paths
from support.control import serving


@contextmanager
def _answering(path: str, *replies: bytes) -> Iterator[list[bytes]]:
    """Something that listens at `path` and gives each client the next reply, whatever it asks."""
    asked: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(5)

        def serve() -> None:
            for reply in replies:
                with listener.accept()[0] as sock:
                    asked.append(sock.recv(65536))
                    sock.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield asked
        thread.join(60.0)


def _reply(body: bytes, code: int = 200) -> bytes:
    return b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s" % (code, len(body), body)


def test_without_a_supervisor_it_says_what_was_tried_and_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(NotRunning) as error:
        client.request(Paths(str(tmp_path)), "GET", "/v1/status")
    assert str(error.value) == (
        f"the supervisor is not running (no answer at {tmp_path}/ctl.sock); start it with: supervisor start"
    )
    assert error.value.exit == Exit.NOT_RUNNING


@pytest.mark.parametrize("kind", ["stale socket", "a file", "too long"])
def test_what_lies_there_but_does_not_listen_is_not_running(tmp_path: Path, kind: str) -> None:
    path = str(tmp_path / ("ctl.sock" if kind != "too long" else "x" * 120))
    if kind == "stale socket":
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
    elif kind == "a file":
        Path(path).write_text("")
    with pytest.raises(NotRunning):
        client.request(path, "GET", "/v1/status")


def test_it_asks_in_all_places_and_the_first_that_listens_is_the_one(tmp_path: Path) -> None:
    there = str(tmp_path / "there")
    with _answering(there, _reply(b'{"here": 1}')) as asked:
        assert client.request([str(tmp_path / "none"), there], "GET", "/v1/status", timeout=60.0) == (200, {"here": 1})
    assert asked[0].startswith(b"GET /v1/status HTTP/1.1\r\nHost: supervisor\r\n")


def test_a_body_goes_out_and_an_error_comes_back(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with _answering(path, _reply(b'{"error": "no", "suggestion": null}', 404)) as asked:
        code, body = client.request(path, "POST", "/v1/children/x/run", {"wait": True}, timeout=60.0)
    assert (code, body["error"]) == (404, "no")
    assert asked[0].endswith(b'\r\nContent-Length: 14\r\n\r\n{"wait": true}')


def test_chunks_are_put_together(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with _answering(path, head + b'5\r\n{"a":\r\n3\r\n 1}\r\n0\r\n\r\n'):
        assert client.request(path, "GET", "/v1/status", timeout=60.0) == (200, {"a": 1})


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
        b"HTTP/1.1 OK\r\n\r\n{}",
        b"SSH-2.0-x\r\n",
        _reply(b"[1]"),
        _reply(b"[" * 100_000),
    ],
    ids=["nothing", "cut", "cut chunk", "no status", "another protocol", "list", "deep"],
)
def test_half_a_reply_or_another_program_is_said_without_a_traceback(tmp_path: Path, reply: bytes) -> None:
    path = str(tmp_path / "s")
    with _answering(path, reply), pytest.raises(SupervisorError, match=f"{path}: expected a"):
        client.request(path, "GET", "/v1/status", timeout=60.0)


def test_turned_away_by_a_crowd_it_asks_again(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with _answering(path, _reply(b'{"error": "crowd"}', 429), _reply(b'{"ok": true}')):
        assert client.request(path, "GET", "/v1/status", timeout=60.0) == (200, {"ok": True})


@pytest.mark.parametrize("backlog", [5, 0])
def test_a_frozen_supervisor_is_told_from_one_that_is_not_there(tmp_path: Path, backlog: int) -> None:
    path = str(tmp_path / "ctl.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(backlog)
        waiting = []
        if not backlog:  # one is taken whatever was asked for: then the place is full
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[0].connect(path)
        with pytest.raises(
            TimedOut, match=r"did not answer in time: frozen or overloaded; see .*/logs/supervisor\.log"
        ):
            client.request(path, "GET", "/v1/status", timeout=0.2)
        for sock in waiting:
            sock.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_another_user_is_told_to_run_it_as_the_owner(tmp_path: Path) -> None:
    for folder in [tmp_path, *tmp_path.parents][:-2]:
        folder.chmod(0o711)
    path = str(tmp_path / "ctl.sock")
    with serving(path):
        assert "this user may not talk to the supervisor" in _as_nobody(
            lambda: client.request(path, "GET", "/v1/status")
        )


def _as_nobody(ask: Callable[[], object]) -> str:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setuid(65534)
            ask()
        except SupervisorError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read) as pipe:
        return pipe.read()


@pytest.mark.parametrize("how", ["argument", "folder", "environment", "working folder", "state_dir", "file gone"])
def test_status_finds_the_supervisor_of_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    config = tmp_path / "config.toml"
    state = tmp_path / ("s" if how == "state_dir" else ".supervisor")
    state.mkdir(mode=0o700)
    if how != "file gone":
        config.write_text('[supervisor]\nstate_dir = "s"\nbroken =' if how == "state_dir" else "")
    monkeypatch.delenv("FORKWARDEN_CONFIG", raising=False)
    if how == "environment":
        monkeypatch.setenv("FORKWARDEN_CONFIG", str(config))
    elif how == "working folder":
        monkeypatch.chdir(tmp_path)
    given = {"environment": None, "working folder": None, "folder": str(tmp_path)}.get(how, str(config))
    with serving(str(state / "ctl.sock")) as pid:
        assert client.status(given, timeout=60.0)["pid"] == pid


def test_status_raises_what_the_supervisor_answered(tmp_path: Path) -> None:
    (tmp_path / ".supervisor").mkdir()
    path = str(tmp_path / ".supervisor" / "ctl.sock")
    with (
        _answering(path, _reply(b'{"error": "shutting down"}', 503)),
        pytest.raises(SupervisorError, match="shutting down"),
    ):
        client.status(str(tmp_path / "config.toml"), timeout=60.0)


def test_it_imports_nothing_heavy() -> None:
    code = "import sys, supervisor.client; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    heavy = {
        "http.client",
        "email",
        "urllib.request",
        "ssl",
        "asyncio",
        "logging",
        "click",
        "pydantic",
        "h11",
        "tomllib",
    }
    assert not heavy & set(found)


def test_a_long_reply_of_the_real_server_arrives_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "ctl.sock")
    with serving(path):
        code, body = client.request(path, "GET", "/v1/children/big", timeout=60.0)
        assert (code, set(body["text"])) == (200, {"x"})
        assert json.dumps(body)
