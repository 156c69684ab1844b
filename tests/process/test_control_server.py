"""The control socket does what it says: who may use it, what is written down, where it lies."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from supervisor import client
from supervisor.core.errors import SupervisorError
from supervisor.core.wire.control import Command
from supervisor.parent.clients import Peer
from supervisor.parent.listener import Listener, OutOfFiles
from supervisor.parent.poller import Poller
from supervisor.parent.server import PAUSE, REPLY_TIMEOUT, REQUEST_TIMEOUT, Respond, Server
from support.control import BIG, connected, everything, push, serving, status
from support.eventually import eventually

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    where = str(tmp_path / "ctl.sock")
    with serving(where):
        yield where


def test_an_ordinary_http_client_is_answered_short_and_long(path: str) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://x", timeout=60.0) as http:
        short = http.get("/v1/status")
        assert (short.status_code, short.headers["content-type"]) == (200, "application/json")
        assert short.json()["pid"]
        big = http.get("/v1/children/big")
        assert big.headers["transfer-encoding"] == "chunked"
        assert len(big.json()["text"]) == BIG
        assert http.post("/v1/children/a/disable", json={"note": "ż"}).json() == {
            "uid": os.getuid(),
            "pid": os.getpid(),
        }


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(path: str) -> None:
    with connected(path) as sock:
        head = b"POST /v1/stop HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        sock.sendall(head)
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"{}")
        assert everything(sock).startswith(b"HTTP/1.1 200 ")


def test_who_changed_something_is_written_down_and_reading_is_not(path: str) -> None:
    client.request(path, "POST", "/v1/children/orders/disable", {"for": 60, "note": "a\nb"}, timeout=60.0)
    status(path)
    (line,) = status(path)["reports"]
    assert line == f"info: disable orders for 60 s (a\nb), asked for by uid {os.getuid()}, pid {os.getpid()}"


def test_a_bug_in_one_command_is_told_and_ends_nothing(path: str) -> None:
    code, body = client.request(path, "GET", "/v1/children/broken", timeout=60.0)
    assert (code, body["error"]) == (500, "a bug in the supervisor: KeyError('a bug')")
    assert "error: show broken: a bug in the supervisor" in status(path)["reports"][0]


def test_a_number_that_is_none_becomes_null(path: str) -> None:
    _, body = client.request(path, "GET", "/v1/children/nan", timeout=60.0)
    assert body == {"lag": None, "more": [None, {"ok": 1.5}]}


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
@pytest.mark.parametrize(("uids", "code"), [((), b"403"), ((NOBODY,), b"200")])
def test_another_user_is_refused_and_that_is_told_unless_configured(
    tmp_path: Path, uids: tuple[int, ...], code: bytes
) -> None:
    path = str(tmp_path / "ctl.sock")
    with serving(path, uids=uids):
        for folder in [tmp_path, *tmp_path.parents][:-2]:
            folder.chmod(0o711)
        os.chmod(path, 0o666)  # even where the mode let others in, the kernel says who asks
        assert _asked_as(NOBODY, path)[9:12] == code
        refused = [line for line in status(path)["reports"] if f"uid {NOBODY}" in line]
        assert len(refused) == (code == b"403")


def _asked_as(uid: int, path: str) -> bytes:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setuid(uid)
            with connected(path) as sock:
                push(sock, b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
                os.write(write, everything(sock)[:100])
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read, "rb") as pipe:
        return pipe.read()


def test_only_the_owner_may_open_it_and_the_umask_is_as_before(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        listener = Listener(str(tmp_path / "ctl.sock"))
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(listener.path).st_mode) == 0o600
    listener.close()
    assert os.listdir(tmp_path) == []


def test_there_is_no_tcp_and_no_abstract_socket(path: str) -> None:
    inodes = _socket_inodes(status(path)["pid"]) - _socket_inodes(os.getpid())
    for table in ("tcp", "tcp6", "udp", "udp6"):
        rows = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        assert not inodes & {row.split()[9] for row in rows}
    named = [row.split() for row in Path("/proc/net/unix").read_text().splitlines()[1:]]
    names = [row[7] for row in named if row[6] in inodes and len(row) > 7]
    assert names  # bound under its first name, then renamed
    assert all(name == f"{path}.new" for name in names)


def _socket_inodes(pid: int) -> set[str]:
    links = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            pass  # the descriptor of listdir itself
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def test_a_socket_of_an_earlier_life_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "ctl.sock")
    for name in (path, f"{path}.new"):
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(name)
    with serving(path):
        assert status(path)["pid"]


def test_what_cannot_be_a_socket_is_said_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "ctl.sock").mkdir()
    with pytest.raises(SupervisorError, match=r"ctl\.sock: cannot make the control socket: Is a directory"):
        Listener(str(tmp_path / "ctl.sock"))
    with pytest.raises(SupervisorError, match="cannot make the control socket: AF_UNIX path too long"):
        Listener(str(tmp_path / ("x" * 120)))


@pytest.mark.parametrize("removed", ["the socket", "its folder", "replaced by a file"])
def test_a_socket_that_was_removed_is_made_again(tmp_path: Path, removed: str) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    path = str(folder / "ctl.sock")
    with serving(path):
        pid = status(path)["pid"]
        os.unlink(path)
        if removed == "its folder":
            folder.rmdir()
        elif removed == "replaced by a file":
            Path(path).write_text("not a socket")
        again = eventually(lambda: _status_if_there(path), within=60.0)
        assert again["pid"] == pid
        assert "the control socket was removed; made again" in again["reports"][0]
        assert stat.S_IMODE(os.stat(folder).st_mode) == (0o700 if removed == "its folder" else 0o755)


def _status_if_there(path: str) -> dict[str, Any] | None:
    try:
        return status(path)
    except SupervisorError:
        return None


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class _Listener(Listener):
    out_of_files = False

    def accept(self) -> socket.socket | None:
        if self.out_of_files:
            raise OutOfFiles
        return super().accept()


class _Served:
    """A server in this process with a clock of our own."""

    def __init__(self, path: str) -> None:
        self.clock = _Clock()
        self.poller = Poller()
        self.reports: list[str] = []
        self.listener = _Listener(path)
        self.server = Server(self.listener, self.poller, self.answer, report=self.report, clock=self.clock)

    def report(self, level: str, text: str) -> None:
        self.reports.append(text)

    def answer(self, command: Command, peer: Peer, respond: Respond) -> None:
        respond.send(200, {"text": "x" * 2_000_000})
        assert not respond.send(200, {"second": "reply"})

    def turn(self, timeout: float = 0.0) -> None:
        for _, fd, mask in self.poller.wait(timeout):
            self.server.on_event(fd, mask, self.clock.now)
        self.server.expire(self.clock.now)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[_Served]:
    made = _Served(str(tmp_path / "ctl.sock"))
    yield made
    made.server.close()
    made.poller.close()


def test_a_request_has_two_seconds_however_slowly_it_drips(served: _Served, tmp_path: Path) -> None:
    with connected(str(tmp_path / "ctl.sock")) as slow:
        served.turn(10.0)
        assert served.server.deadline() == 1000.0 + REQUEST_TIMEOUT
        for _ in range(3):
            served.clock.now += REQUEST_TIMEOUT / 4
            slow.sendall(b"G")
            served.turn(10.0)
        assert served.server.deadline() == 1000.0 + REQUEST_TIMEOUT
        served.clock.now = 1000.0 + REQUEST_TIMEOUT
        served.turn()
        assert everything(slow).startswith(b"HTTP/1.1 408 ")
        assert served.server.deadline() is None


def test_who_takes_nothing_of_a_reply_is_dropped_and_who_takes_some_is_not(served: _Served, tmp_path: Path) -> None:
    with connected(str(tmp_path / "ctl.sock")) as lazy:
        lazy.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        served.turn(10.0)
        assert served.server.deadline() == 1000.0 + REPLY_TIMEOUT
        served.clock.now += REPLY_TIMEOUT - 1
        assert len(lazy.recv(200_000)) > 0
        served.turn(10.0)
        assert served.server.deadline() == 1000.0 + 2 * REPLY_TIMEOUT - 1
        served.clock.now += REPLY_TIMEOUT
        served.turn()
        assert served.server.deadline() is None
        assert len(everything(lazy)) < 2_000_000


def test_the_longest_silent_client_leaves_for_a_new_one(served: _Served, tmp_path: Path) -> None:
    path = str(tmp_path / "ctl.sock")
    sockets = []
    for number in range(9):
        served.clock.now += 0.01
        sockets.append(connected(path))
        if number == 5:
            sockets[0].sendall(b"G")  # it said something since: the second is now the longest silent
        served.turn(10.0)
    assert everything(sockets[1]).startswith(b"HTTP/1.1 429 ")
    sockets[0].sendall(b"ET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    served.turn(10.0)
    assert everything(sockets[0]).startswith(b"HTTP/1.1 404 ")
    for sock in sockets:
        sock.close()


def test_a_request_that_came_meanwhile_is_answered_not_thrown_away(served: _Served, tmp_path: Path) -> None:
    path = str(tmp_path / "ctl.sock")
    sockets = [connected(path) for _ in range(8)]
    served.turn(10.0)
    for sock in sockets:
        sock.sendall(b"GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    sockets.append(connected(path))
    served.server.on_event(served.listener.fileno(), 0, served.clock.now)  # the new one is looked at first
    served.turn()
    for sock in sockets[:8]:
        assert everything(sock).startswith(b"HTTP/1.1 404 ")
    for sock in sockets:
        sock.close()


def test_when_the_socket_cannot_be_made_again_it_is_said_once_and_mended_later(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    served = _Served(str(folder / "ctl.sock"))
    os.unlink(folder / "ctl.sock")
    folder.rmdir()
    folder.write_text("in the way")
    for _ in range(3):
        served.server.check()
    assert len(served.reports) == 1
    assert "the control socket was removed and cannot be made again" in (served.server.problem or "")
    folder.unlink()
    served.server.check()
    assert served.server.problem is None
    assert stat.S_ISSOCK(os.stat(folder / "ctl.sock").st_mode)
    served.server.close()
    served.poller.close()


def test_out_of_descriptors_the_listener_is_left_alone_for_a_second(served: _Served, tmp_path: Path) -> None:
    served.listener.out_of_files = True
    with connected(str(tmp_path / "ctl.sock")) as waiting:
        waiting.sendall(b"GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        served.turn(10.0)
        assert served.server.deadline() == 1000.0 + PAUSE
        assert served.poller.wait(0.0) == []  # nothing to spin on, though a client waits
        served.listener.out_of_files = False
        served.clock.now += PAUSE
        served.turn()
        served.turn(10.0)
        assert everything(waiting).startswith(b"HTTP/1.1 404 ")
        assert served.server.deadline() is None
    assert served.reports == ["no file descriptor left for control clients"]


@pytest.mark.parametrize("refused", ["socket.socket.getsockopt", "Poller.register"])
def test_a_client_that_the_kernel_has_no_room_for_is_let_go_and_the_next_one_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    owner, name = (socket.socket, "getsockopt") if "getsockopt" in refused else (Poller, "register")
    real = getattr(owner, name)
    poller = Poller()
    server = Server(Listener(str(tmp_path / "ctl.sock")), poller, lambda command, peer, respond: None)

    def no_room(*args: object) -> object:
        monkeypatch.setattr(owner, name, real)
        raise OSError(28, "No space left on device")

    try:
        monkeypatch.setattr(owner, name, no_room)
        with connected(str(tmp_path / "ctl.sock")) as first, connected(str(tmp_path / "ctl.sock")) as second:
            for _, fd, mask in poller.wait(10.0):
                server.on_event(fd, mask, 0.0)
            assert first.recv(1) == b"", "it is told by the end of its connection"
            second.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            for _, fd, mask in poller.wait(10.0):
                server.on_event(fd, mask, 0.0)
            assert second.recv(100).startswith(b"HTTP/1.1 404 ")
    finally:
        server.close()
        poller.close()
