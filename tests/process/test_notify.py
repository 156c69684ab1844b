"""What systemd hears: the test holds the socket that NOTIFY_SOCKET names, and takes every datagram as it comes."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.parent.notify import Notify
from support.eventually import eventually
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor

CONFIG = FAST + '[tasks.one]\nrun = "mine:tick"\nevery = "1h"\nrun_on_start = true\n'
CODE = (
    NOTE
    + '\n\ndef tick():\n    note("env", [name for name in os.environ if name.startswith(("NOTIFY", "WATCHDOG"))])\n'
)


class Systemd:
    """Its end of the socket. A thread reads: a queue that is full would be a test of something else."""

    def __init__(self, address: str) -> None:
        self.heard: list[str] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.environment = {"NOTIFY_SOCKET": address}
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while datagram := self.socket.recv(8192):
            self.heard.append(datagram.decode())

    def fields(self, name: str) -> list[str]:
        return [
            text.partition("=")[2] for each in self.heard for text in each.split("\n") if text.startswith(f"{name}=")
        ]

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(b"", self.socket.getsockname())
        self._thread.join(10)
        self.socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(str(tmp_path / "notify") if request.param == "path" else f"@forkwarden-test-{os.getpid()}")
    yield made
    made.close()


def started(made: Project, systemd: Systemd, **more: str) -> Supervisor:
    return made.supervisor(**systemd.environment, **more)


def test_it_says_when_it_is_up_how_it_is_and_that_it_ends(project: Callable[..., Project], systemd: Systemd) -> None:
    made = project(config=CONFIG, code=CODE)
    with started(made, systemd) as supervisor:
        supervisor.wait_ready()
        eventually(lambda: "1 of 1 ready" in systemd.fields("STATUS"), within=30)
        assert systemd.fields("READY") == ["1"]
        assert systemd.fields("MAINPID") == [str(supervisor.pid)]
        assert systemd.fields("WATCHDOG") == [], "nobody asked for it"
        assert eventually(lambda: made.lines("env"), within=30) == ["[]"], "children do not learn of the socket"
        assert supervisor.stop() == 0
    assert systemd.fields("STOPPING") == ["1"]
    assert systemd.fields("STATUS")[-1] == "stopping: SIGTERM"
    assert systemd.heard.index("STOPPING=1\nSTATUS=stopping: SIGTERM") == len(systemd.heard) - 1


def test_a_child_that_is_down_stands_in_the_status_and_does_not_hold_up_ready(
    project: Callable[..., Project], systemd: Systemd
) -> None:
    with started(project(config=CONFIG, code="import no_such_library\n"), systemd) as supervisor:
        eventually(lambda: "0 of 1 ready; one: fatal" in systemd.fields("STATUS"), within=30)
        assert systemd.fields("READY") == ["1"]
        supervisor.stop()


def test_a_reload_is_told_with_the_time_of_its_beginning(project: Callable[..., Project], systemd: Systemd) -> None:
    made = project(config=CONFIG, code=CODE)
    with started(made, systemd) as supervisor:
        supervisor.wait_ready()
        eventually(lambda: systemd.fields("READY") == ["1"], within=30)
        os.kill(supervisor.pid, signal.SIGHUP)
        eventually(lambda: systemd.fields("READY") == ["1", "1"], within=30)
        assert systemd.fields("RELOADING") == ["1"]
        assert int(systemd.fields("MONOTONIC_USEC")[0]) > 0
        made.configure("[nonsense]\n")
        os.kill(supervisor.pid, signal.SIGHUP)  # refused, and over all the same
        eventually(lambda: systemd.fields("READY") == ["1", "1", "1"], within=30)
        assert supervisor.cli("reload", "--dry-run").returncode != 0
        assert systemd.fields("RELOADING") == ["1", "1"], "a dry run is none"


def test_it_is_reloading_until_the_reload_is_done(project: Callable[..., Project], systemd: Systemd) -> None:
    held = CODE + "\n\nwhile os.path.exists(os.path.join(HERE, 'hold')):\n    time.sleep(0.01)\n"
    made = project(config=CONFIG, code=held)
    with started(made, systemd) as supervisor:
        supervisor.wait_ready()
        hold = made.write("hold", "")
        os.kill(supervisor.pid, signal.SIGHUP)  # the check imports the module, and waits
        eventually(lambda: systemd.fields("RELOADING") == ["1"], within=30)
        for _ in range(3):
            supervisor.status()  # turns of the loop
        assert systemd.fields("READY") == ["1"]
        hold.unlink()
        eventually(lambda: systemd.fields("READY") == ["1", "1"], within=30)
        supervisor.stop()


def test_the_loop_feeds_the_watchdog_and_a_frozen_loop_does_not(
    project: Callable[..., Project], systemd: Systemd
) -> None:
    made = project(config=CONFIG, code=CODE)
    with started(made, systemd, WATCHDOG_USEC="400000") as supervisor:
        eventually(lambda: len(systemd.fields("WATCHDOG")) >= 5, within=30)
        os.kill(supervisor.pid, signal.SIGSTOP)
        eventually(lambda: Path(f"/proc/{supervisor.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        before = len(systemd.fields("WATCHDOG"))
        threading.Event().wait(1.0)
        assert len(systemd.fields("WATCHDOG")) <= before + 1, "one may have been under way"
        os.kill(supervisor.pid, signal.SIGCONT)
        eventually(lambda: len(systemd.fields("WATCHDOG")) >= before + 5, within=30)


def test_the_watchdog_of_another_process_is_not_fed(project: Callable[..., Project], systemd: Systemd) -> None:
    made = project(config=CONFIG, code=CODE)
    with started(made, systemd, WATCHDOG_USEC="100000", WATCHDOG_PID="1") as supervisor:
        supervisor.wait_ready()
        eventually(lambda: "1 of 1 ready" in systemd.fields("STATUS"), within=30)
        assert systemd.fields("WATCHDOG") == []


@pytest.mark.parametrize("address", ["/nowhere/at/all", "vsock:2:9", "@" + "x" * 200, "relative", "@nobody-listens"])
def test_a_socket_that_is_none_harms_nobody(project: Callable[..., Project], address: str) -> None:
    with project(config=CONFIG, code=CODE).supervisor(NOTIFY_SOCKET=address, WATCHDOG_USEC="nonsense") as supervisor:
        supervisor.wait_ready()
        assert supervisor.stop() == 0


def test_a_full_queue_blocks_nobody_and_what_matters_is_said_again(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
        full.bind(str(tmp_path / "full"))
        env = {"NOTIFY_SOCKET": str(tmp_path / "full"), "WATCHDOG_USEC": "2000000"}
        notify = Notify(env, pid=7)
        assert env == {}
        for number in range(2000):
            notify.status(f"fill {number}")
        notify.tick(100.0, up=True)
        assert notify.deadline() == 100.25, "soon again: it was not taken"
        full.setblocking(False)
        try:
            while full.recv(8192):
                pass
        except BlockingIOError:
            pass
        notify.tick(100.25, up=True)
        assert full.recv(8192) == b"READY=1\nMAINPID=7"
        assert full.recv(8192) == b"WATCHDOG=1"
        assert notify.deadline() == 101.25
        notify.close()
