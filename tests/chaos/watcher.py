"""RUNS IN A PROCESS OF ITS OWN beside the soak: looks at the tree ten times a second, and says what must not be.

It knows /proc, the lines that the children left, the control socket as any client does, and what was done to the
tree (moments). It shares no code with the product. Each breach is a line in the file `breaches`.

    python watcher.py FOLDER TAG SLACK
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [path for path in (str(_TESTS.parent), str(_TESTS)) if path not in sys.path]

from chaos import scene  # noqa: E402
from chaos.moments import Follower, Moment, clock  # noqa: E402
from chaos.proc import Seen, Tree, size  # noqa: E402

EVERY = 0.1
ZOMBIE = 1.0  # seconds that a dead process may wait to be reaped
ORPHAN = 1.0  # seconds that the tree may outlive a killed supervisor whose guard lived
ANSWER = 5.0  # seconds in which `status` must have answered once, while the supervisor is up and hears
SETTLED = 0.05  # seconds between our clock at the reply and the ticks of /proc
DESCRIPTORS = 120  # of the supervisor, at most, whatever is done to it
MEMORY = 120.0  # MiB of it


@dataclass
class Birth:
    name: str
    pid: int
    born: float
    parent: int


@dataclass
class Parent:
    """One supervisor, from its start on."""

    pid: int
    since: float
    run_id: str = ""
    stopped: bool = False
    heard: float = 0.0  # since when it can answer: its start, or the end of a stop
    dead: float | None = None
    swept: bool = True  # whether its guard lived when it died
    asked_to_end: bool = False
    settled: bool = False  # its first child is born


@dataclass
class Watch:
    folder: Path
    tree: Tree
    slack: float
    parent: Parent | None = None
    births: dict[tuple[int, float], Birth] = field(default_factory=dict)
    dead_since: dict[tuple[int, float], float] = field(default_factory=dict)
    alien_since: dict[tuple[int, float], float] = field(default_factory=dict)
    lag: float = 0.0  # how late we are ourselves: a machine that starves us starves others
    breaches: int = 0
    crashes: list[float] = field(default_factory=list)  # births of the child that is never well, under this parent
    disabled: float | None = None  # since when nothing of the toggled task may start
    answers: list[float] = field(default_factory=list)
    looks: int = 0
    seen_births: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def breach(self, text: str) -> None:
        self.breaches += 1
        if self.breaches <= 50:
            with (self.folder / "breaches").open("a") as file:
                file.write(f"{clock():.3f} {text}\n")

    # -- what is told

    def hear(self, moment: Moment) -> None:
        match moment.what:
            case "start":
                self.parent = Parent(int(moment.about["pid"]), moment.at, heard=moment.at)
                self.crashes.clear()
            case "stop parent" if self.parent:
                self.parent.stopped = True
            case "continue parent" if self.parent:
                self.parent.stopped, self.parent.heard = False, moment.at
                self.dead_since.clear()
            case "kill parent" if self.parent:
                self.parent.dead, self.parent.swept = moment.at, bool(moment.about["guard"])
            case "term parent" if self.parent:
                self.parent.asked_to_end = True
            case "reload":
                self.crashes.clear()
            case "disabled":
                self.disabled = moment.at
            case "enabled":
                self.disabled = None

    def hear_birth(self, line: str) -> None:
        name, pid, born, parent, _ = line.split()
        birth = Birth(name, int(pid), float(born), int(parent))
        self.births[birth.pid, birth.born] = birth
        self.seen_births[name] += 1
        if name == scene.TOGGLED and self.disabled is not None and birth.born > self.disabled + SETTLED:
            self.breach(f"disabled: {name} was started {birth.born - self.disabled:.2f} s after it was disabled")
        if name == scene.NEVER_WELL and self.parent and birth.parent == self.parent.pid:
            self._backoff(birth.born)

    def _backoff(self, born: float) -> None:
        """Between two births lies a life, and the wait that its number in the row asks for at least."""
        self.crashes.append(born)
        number = len(self.crashes) - 1
        if number < 2:
            return
        least = min(scene.CAP, scene.BASE * 2.0 ** (number - 2)) * (1 - scene.JITTER) - 0.02  # born in ticks of 10 ms
        waited = self.crashes[-1] - self.crashes[-2]
        if waited < least:
            self.breach(f"backoff: start {number + 1} of {scene.NEVER_WELL} came after {waited:.2f} s, not {least:.2f}")

    # -- what is seen

    def look(self) -> None:
        self.looks += 1
        now, seen = clock(), self.tree.look()
        self._copies(seen)
        self._zombies(seen, now)
        if self.parent is None:
            return
        up = self.parent.pid in seen and not seen[self.parent.pid].dead
        if up:
            self._parent(seen, now)
        elif self.parent.dead is None and not self.parent.asked_to_end and now > self.parent.since + 1:
            self.breach(f"the supervisor, pid {self.parent.pid}, ended by itself")
            self.parent.asked_to_end = True
        self._aliens(seen, now, up=up)

    def _copies(self, seen: dict[int, Seen]) -> None:
        living: dict[str, list[Birth]] = defaultdict(list)
        for identity, birth in list(self.births.items()):
            found = seen.get(birth.pid)
            if found is None or found.identity != identity or found.dead:
                del self.births[identity]
            else:
                living[birth.name].append(birth)
        for name, births in living.items():
            if len(births) > scene.CONSUMERS.get(name, 1):
                self.breach(f"copies: {len(births)} live processes of {name}: {births}")

    def _zombies(self, seen: dict[int, Seen], now: float) -> None:
        parent = self.parent
        ours = {
            each.identity for each in seen.values() if each.dead and parent is not None and each.parent == parent.pid
        }
        for gone in self.dead_since.keys() - ours:
            del self.dead_since[gone]
        if parent is None or parent.stopped or parent.dead is not None:
            self.dead_since.clear()
            return
        for identity in ours:
            since = self.dead_since.setdefault(identity, now)
            if now - since > ZOMBIE + self._late():
                self.breach(f"zombie: pid {identity[0]} is not reaped for {now - since:.1f} s")
                self.dead_since[identity] = now + 60

    def _parent(self, seen: dict[int, Seen], now: float) -> None:
        assert self.parent is not None
        mine = seen[self.parent.pid]
        self.parent.run_id = self.parent.run_id or mine.run_id
        if self.parent.run_id and any(birth.parent == mine.pid for birth in self.births.values()):
            self.parent.settled = True
        if self.looks % 10 == 0:
            held = size(mine.pid)
            if held.threads > 1 and mine.role == "supervisor":
                self.breach(f"the supervisor has {held.threads} threads")
            if held.descriptors > DESCRIPTORS or held.rss > MEMORY:
                self.breach(f"the supervisor holds {held}")

    def _aliens(self, seen: dict[int, Seen], now: float, *, up: bool) -> None:
        """Who bears the run-id of an earlier life, or lives on without any supervisor."""
        assert self.parent is not None
        parent = self.parent
        if up and not parent.settled:
            return
        if not up and parent.dead is None and not parent.asked_to_end:
            return
        if not up and not parent.swept:
            return  # the next start does it
        aliens = {
            each.identity
            for each in seen.values()
            if not each.dead and each.pid != parent.pid and not (up and each.run_id == parent.run_id)
        }
        for gone in self.alien_since.keys() - aliens:
            del self.alien_since[gone]
        for identity in aliens:
            since = self.alien_since.setdefault(identity, now)
            if now - since > ORPHAN + self._late():
                self.breach(f"orphan: {seen[identity[0]]} lives {now - since:.1f} s after its supervisor")
                self.alien_since[identity] = now + 60

    def _late(self) -> float:
        return self.slack + 4 * self.lag

    # -- what is asked

    def ask(self) -> None:
        """`status`, as a client does that knows HTTP from the RFC."""
        parent = self.parent
        if parent is None or parent.stopped or parent.dead is not None or parent.asked_to_end or not parent.settled:
            return
        now = clock()
        took = _status(self.folder / ".supervisor" / "ctl.sock")
        if took is not None:
            self.answers.append(took)
            parent.heard = clock()
        elif now - parent.heard > ANSWER + self._late():
            self.breach(f"status: no answer for {now - parent.heard:.1f} s")
            parent.heard = now + 60


def _status(path: Path) -> float | None:
    """Return how long the answer took; None when there was none."""
    began = time.monotonic()
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2.0)
            client.connect(str(path))
            client.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            data = b""
            while piece := client.recv(65536):
                data += piece
    except OSError:
        return None
    if not data.startswith(b"HTTP/1.1 200"):
        return None
    json.loads(data.partition(b"\r\n\r\n")[2] or b"null") if b"chunked" not in data[:500] else None
    return time.monotonic() - began


def main(folder: Path, tag: str, slack: float) -> None:
    """Until the file `over` is there; then what was seen is in `watched`."""
    watch = Watch(folder, Tree(tag), slack)
    moments, births, twice = (Follower(folder / name) for name in ("moments", "births", "twice"))
    due = time.monotonic()
    while not (folder / "over").exists():
        for moment in moments.moments():
            watch.hear(moment)
        for line in births.lines():
            watch.hear_birth(line)
        for line in twice.lines():
            watch.breach(f"copies: {line.split()[0]} found its lock taken")
        watch.look()
        if watch.looks % 5 == 0:
            watch.ask()
        due += EVERY
        late = time.monotonic() - due
        watch.lag = max(late, watch.lag * 0.95, 0.0)
        due = max(due, time.monotonic() - EVERY)
        time.sleep(max(0.0, due - time.monotonic()))
    about = {"looks": watch.looks, "answers": sorted(watch.answers), "births": watch.seen_births}
    (folder / "watched").write_text(json.dumps(about))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
