"""RUNS IN THE SOAK: the harm, one method a fault; `strike` picks one. All of it is undone by `relent`."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaos import proc, scene
from chaos.flow import Flow
from chaos.harmed import INSIDE
from chaos.moments import Writer, clock
from chaos.shared import Breach, Life
from support.eventually import eventually

END = scene.GRACE + 1.0  # seconds in which SIGTERM must end it
BROKEN = (
    '\n[tasks.bad]\nrun = "canary:tick"\n',
    "\n[tasks.canary\n",
    "\x00",
    '\n[tasks.canary]\nevery = "1s"\n',
    '\n[consumers.reader2]\nhandler = "reader:store"\n',
)


class Nemesis:
    def __init__(self, living: Life, flow: Flow, rng: random.Random, slack: float) -> None:
        self.living, self.flow, self.rng, self.slack = living, flow, rng, slack
        self.moments = Writer(living.project.folder / "moments")
        self.done: Counter[str] = Counter()
        self.changing: int | None = 700
        self.ballast: Path | None = None
        self.disk = False  # whether the state folder is a disk of its own, which may be filled
        self.started_at = 0.0
        self.kills_at = time.monotonic() + rng.uniform(15, 45)
        self._faults = self._weights()

    # -- the supervisor's lives

    def start(self) -> None:
        self.living.supervisor.start()
        self.moments.add("start", pid=self.living.supervisor.pid)
        self.started_at = time.monotonic()

    def strike(self) -> str:
        """Do one thing; return what."""
        if time.monotonic() > self.kills_at:
            self.kills_at = time.monotonic() + self.rng.uniform(15, 45)
            fault: Callable[[], str | None] = self.rng.choice(
                (self.kill_parent, self.kill_parent, self.kill_both, self.kill_stopped, self.end)
            )
        else:
            (fault,) = self.rng.choices(list(self._faults), list(self._faults.values()))
        said = fault()
        name = fault.__name__.replace("_", " ")
        self.done[f"{name}: {said}" if said else name] += 1
        return f"{name} {said or ''}"

    def relent(self) -> None:
        """Everything may heal from here on. A supervisor that was started just now is asked until it answers."""
        (self.living.project.folder / "do").unlink(missing_ok=True)
        self._configure()
        self.moments.add("enabled")
        for name in scene.EVERY:
            path = f"/v1/children/{name}/enable"
            eventually(lambda path=path: self._ask(path) == 200, within=60 + self.slack, every=0.1, what=path)
        self._reload()

    def _weights(self) -> dict[Callable[[], str | None], float]:
        found: dict[Callable[[], str | None], float] = {
            self.signal_child: 30,
            self.inside: 30,
            self.toggle: 8,
            self.restart: 4,
            self.run: 3,
            self.good_reload: 6,
            self.broken_reload: 4,
            self.flood_clients: 4,
            self.garbage_clients: 4,
            self.stop_parent: 3,
            self.kill_guard: 3,
            self.stop_guard: 1,
            self.hang_up_storm: 1,
            self.many_at_once: 2,
            self.fill_disk: 1,
        }
        if self.flow.real:
            found[self.freeze_broker] = 2
        return found

    # -- children

    def pids(self, name: str) -> list[int]:
        """By what they said at birth, not by what `status` says."""
        found = []
        for line in (self.living.project.lines("births"))[-400:]:
            child, pid, *_ = line.split()
            if child == name and proc.alive(int(pid)):
                found.append(int(pid))
        return list(dict.fromkeys(found))

    def signal_child(self) -> str:
        name = self.rng.choice((*scene.SIGNALLED, *scene.CONSUMERS, *scene.CONSUMERS))
        numbers = (signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM)
        number = self.rng.choice(numbers)
        if pids := self.pids(name):
            self.living.signal([self.rng.choice(pids)], number)
        return f"{number.name} {name}"

    def many_at_once(self) -> str:
        """All but the one that is spared."""
        for name in (*scene.SIGNALLED, *scene.CONSUMERS):
            self.living.signal(self.pids(name), signal.SIGKILL)
        return "SIGKILL"

    def inside(self) -> str:
        """What `harmed` does to itself in its next run."""
        what = self.rng.choice(INSIDE)
        self.living.project.write("do", what)
        return what

    # -- control

    def toggle(self) -> str:
        how = self.rng.choice(("disable", "disable", "enable", "for", "now"))
        path = f"/v1/children/{scene.TOGGLED}/{'enable' if how == 'enable' else 'disable'}"
        if how in ("enable", "for"):
            self.moments.add("enabled")
        code = self._ask(path, {"for": 1.0} if how == "for" else {"now": how == "now"})
        if how in ("disable", "now") and code == 200:
            self.moments.add("disabled")
        return how

    def restart(self) -> str:
        name = self.rng.choice((*scene.SIGNALLED, *scene.CONSUMERS))
        self._ask(f"/v1/children/{name}/restart", {"now": self.rng.random() < 0.3})
        return name

    def run(self) -> None:
        name = self.rng.choice([name for name in scene.SIGNALLED if name != scene.TOGGLED])  # it may be disabled
        self._ask(f"/v1/children/{name}/run", {})

    def good_reload(self) -> None:
        self.changing = self.rng.choice((None, self.rng.randint(200, 2000)))
        self._configure()
        self._reload()

    def broken_reload(self) -> None:
        self._configure(self.rng.choice(BROKEN))
        self._reload()
        self._configure()

    def hang_up_storm(self) -> None:
        for _ in range(300):
            self.living.signal([self.living.supervisor.pid], signal.SIGHUP)

    def _configure(self, more: str = "") -> None:
        text = scene.config(self.flow.bootstrap, self.flow.topic, changing=self.changing, more=more)
        self.living.project.configure(text)

    def _reload(self) -> None:
        self.moments.add("reload")
        self._ask("/v1/reload", {})

    def _ask(self, path: str, body: Any = None) -> int:
        """Whoever is asked may be frozen, starting, full: the answer is not waited for longer than a client would."""
        if time.monotonic() < self.started_at + 0.5:
            return 0
        return self.living.ask("POST", path, body or {})[0]

    def flood_clients(self) -> None:
        """Fifty that connect and say nothing, or half a request."""
        with contextlib.ExitStack() as stack:
            for number in range(50):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.settimeout(0.05)
                with contextlib.suppress(OSError):
                    client.connect(str(self.living.project.state / "ctl.sock"))
                    client.send(b"GET /v1/st" if number % 2 else b"")
            time.sleep(0.5)

    def garbage_clients(self) -> None:
        for size in (100, 100_000, 1_000_000):
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
                client.settimeout(0.2)
                client.connect(str(self.living.project.state / "ctl.sock"))
                client.sendall(os.urandom(size))

    # -- the supervisor, its guard, its disk, its broker

    def stop_parent(self) -> None:
        pid = self.living.supervisor.pid
        self.moments.add("stop parent")
        self.living.signal([pid], signal.SIGSTOP)
        time.sleep(self.rng.uniform(0.5, 5))
        self.living.signal([pid], signal.SIGCONT)
        self.moments.add("continue parent")

    def kill_guard(self) -> None:
        self.living.signal(self.living.pids("guard"), signal.SIGKILL)

    def stop_guard(self) -> None:
        self.living.signal(self.living.pids("guard"), signal.SIGSTOP)

    def kill_parent(self) -> None:
        guarded = [pid for pid in self.living.pids("guard") if self.living.tree.look()[pid].state != "T"]
        self.moments.add("kill parent", guard=bool(guarded))
        self.living.supervisor.kill()
        self._start_again()

    def kill_both(self) -> None:
        self.moments.add("kill parent", guard=False)
        self.living.signal([*self.living.pids("guard"), self.living.supervisor.pid], signal.SIGKILL)
        self.living.supervisor.process.wait(10)
        self._start_again()

    def kill_stopped(self) -> None:
        self.moments.add("stop parent")
        self.living.signal([self.living.supervisor.pid], signal.SIGSTOP)
        time.sleep(self.rng.uniform(0, 1))
        self.kill_parent()

    def end(self) -> None:
        """SIGTERM: all is gone in time, and the code says whether something had to be killed."""
        self.moments.add("term parent")
        began = clock()
        self.living.supervisor.terminate()
        code = self.living.supervisor.wait(END + self.slack + 30)
        took, left = clock() - began, self.living.left()
        if left or took > END + self.slack or code not in (0, 1, -signal.SIGTERM):
            raise Breach(f"SIGTERM: code {code} after {took:.2f} s, left: {left}")
        self._start_again()

    def _start_again(self) -> None:
        time.sleep(self.rng.choice((0.0, 0.0, self.rng.uniform(0, 1.5))))
        self.start()

    def fill_disk(self) -> str:
        """Of the state folder; alone, as no promise is made of a full disk and a kill -9 at once."""
        if not self.disk:
            return "not possible here"
        (self.living.project.folder / "do").unlink(missing_ok=True)
        time.sleep(1)
        with contextlib.suppress(OSError), open(self.living.project.state / "ballast", "wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 65536)
        time.sleep(self.rng.uniform(1, 4))
        (self.living.project.state / "ballast").unlink()
        time.sleep(7)  # what could not be written is tried again every five seconds
        return ""

    def freeze_broker(self) -> None:
        self.flow.freeze(self.rng.uniform(0.5, 4))
