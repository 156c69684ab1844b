"""H and T: what can go wrong with the machine and its clock."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from faults.catalogue import fault
from faults.scene import CONFIG, HEAD, WELL, Scene, cgroup, has_cgroup, limit_memory, may, started_in, told
from support.eventually import eventually
from support.project import Project
from support.supervisor_process import NotAnswering, Supervisor
from support.system import alive, of_this_session, state

OWN_CLOCK = """
import json
_real = time.time


def now():
    try:
        return json.load(open(os.path.join(HERE, "clock"))) + _real()
    except (OSError, ValueError):
        return _real()


time.time = now
"""
ALL_CLOCKS = (
    "import os\nHERE = {folder!r}\nif 'FORKWARDEN_PLAN_FD' in os.environ:\n    import time\n"
    + textwrap.indent(OWN_CLOCK, "    ")
)
HOG = """
import sys, time
victims, held, end = [int(pid) for pid in sys.argv[1:]], [], time.monotonic() + 60


def living(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


while all(map(living, victims)):
    if len(held) < 80:
        held.append(bytearray(b"x") * (1 << 20))
    time.sleep(0.01)
    if time.monotonic() > end:
        sys.exit("nobody was killed")
"""
NEIGHBOURS = 5  # each holds less than the 30 % of all by which a child is the likelier to go


@fault(
    "H1",
    "suspend and resume",
    injected="SIGSTOP of the whole tree, longer than the heartbeat timeout, the wall clock an hour on, then SIGCONT",
    expected="nobody is killed; the slots of that hour are recorded as missed, at most one is made up for",
)
def _(scene: Scene) -> None:
    made = scene.written("def tick():\n    note('runs')\n", HEAD + '[tasks.one]\nrun = "mine:tick"\nevery = "1s"\n')
    made.write("plant/sitecustomize.py", ALL_CLOCKS.format(folder=str(made.folder)))
    with made.supervisor(PYTHONPATH=str(made.folder / "plant")) as supervisor:
        pid = supervisor.pid_of("one")
        eventually(lambda: len(made.lines("runs")) >= 2, within=30)
        (asleep, awake), ran = _suspended(supervisor), len(made.lines("runs"))
        eventually(lambda: len(made.lines("runs")) >= ran + 3, within=30)
        assert (supervisor.pid_of("one"), supervisor.child("one")["restarts"]) == (pid, 0)
        assert "frozen for" in supervisor.stderr
        rows = json.loads(supervisor.cli("history", "one", "--json").stdout)
        assert any(row["state"] == "missed" for row in rows), rows
        made_up = [row for row in _rows(supervisor) if asleep + 1 < _epoch(row["slot"]) < awake]
        assert len(made_up) <= 1, made_up


def _suspended(supervisor: Supervisor) -> tuple[float, float]:
    """Let the machine sleep for an hour; return when, by its own clock, it fell asleep and woke."""
    tree = of_this_session()
    for pid in tree:
        os.kill(pid, signal.SIGSTOP)
    eventually(lambda: all(state(pid) == "T" for pid in tree), within=30)
    asleep = time.time()
    _at(supervisor, 3600.0)
    time.sleep(3)  # longer than the timeout of 2 s: that is the fault
    awake = time.time() + 3600.0
    for pid in tree:
        os.kill(pid, signal.SIGCONT)
    return asleep, awake


def _epoch(text: object) -> float:
    return datetime.fromisoformat(str(text)).timestamp()


@fault(
    "H2",
    "memory pressure",
    injected="neighbours, each a fifth of it, fill a memory cgroup (without one: the kernel's scores)",
    expected="a child goes before the supervisor and its guard, and is replaced: out of memory",
)
def _(scene: Scene) -> None:
    made = scene.harmful("pass")
    with ExitStack() as stack:
        prefix: list[str] = []
        if has_cgroup("memory"):
            group = stack.enter_context(cgroup("memory"))
            limit_memory(group, 400 << 20)
            prefix = started_in(group)
        supervisor = stack.enter_context(Supervisor(made.config, prefix=prefix))
        children = [supervisor.pid_of(name) for name in ("one", "well")]
        spared = [supervisor.pid, *eventually(lambda: of_this_session("guard"), within=30)]
        assert min(map(_score, children)) > max(map(_score, spared))
        if not prefix:
            return
        command = [*prefix, sys.executable, "-c", HOG, *map(str, children)]
        neighbours = [stack.enter_context(subprocess.Popen(command)) for _ in range(NEIGHBOURS)]
        assert [neighbour.wait() for neighbour in neighbours] == [0] * NEIGHBOURS
        assert all(map(alive, spared))
        supervisor.wait_ready()
        causes = {child["last_exit"]["cause"] for child in supervisor.status()["children"] if child["last_exit"]}
        assert "oom" in causes, causes  # of two that the kernel took together one is told; and a starved one may hang


def _score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score").read_text())


@fault(
    "H3",
    "no CPU for it",
    injected="stress-ng on all cores, the child at nice 19",
    expected="no healthy child is taken for hung (ten minutes of it: tests/chaos/overload.py)",
)
def _(scene: Scene) -> None:
    if not shutil.which("stress-ng"):
        pytest.skip("needs stress-ng")
    made = scene.written("def tick():\n    note('runs')\n", CONFIG.replace('timeout = "2s"', 'timeout = "20s"'))
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        os.setpriority(os.PRIO_PROCESS, pid, 19)
        subprocess.run(["stress-ng", "--cpu", "16", "--timeout", "10s", "--quiet"], check=True)
        assert (supervisor.pid_of("one"), supervisor.child("one")["restarts"]) == (pid, 0)


@fault(
    "H4",
    "power cut while state is written",
    injected="all its processes end at one moment (SIGKILL to their PID namespace) while toggles change, six times; "
    "strace holds each write, fsync and rename of the file for 50 ms",
    expected="what was confirmed is kept, what was under way is there or not; no file is torn",
)
def _(scene: Scene) -> None:
    made = scene.harmful("pass")
    chance, possible = random.Random(4), {True}
    prefix = _apart(made)
    for _ in range(6):
        with Supervisor(made.config, prefix=prefix) as supervisor:
            supervisor.wait_ready()
            assert supervisor.child("well")["enabled"] in possible
            assert not [note for note in supervisor.status()["supervisor"]["notes"] if "toggles" in note]
            with _power_until(chance.uniform(0.02, 0.4), supervisor):
                possible = _toggled_until_dark(supervisor, chance, possible)
        eventually(lambda: of_this_session() == [], within=30)


def _apart(made: Project) -> list[str]:
    """Return the words before a command that give it processes of its own, and a slow disk for the toggles."""
    apart = ["unshare", "--pid", "--fork", "--kill-child"]
    slow = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=write,fsync,rename"]
    slow += ["-e", "inject=write,fsync,rename:delay_enter=50000"]
    for name in ("toggles.json", "toggles.json.new"):
        slow += ["-P", str(made.state / name)]
    return [word for words in (apart, slow) if may(*words, "true") for word in words]


@contextmanager
def _power_until(seconds: float, supervisor: Supervisor) -> Iterator[None]:
    cut = threading.Timer(seconds, supervisor.process.kill)
    cut.start()
    yield
    cut.join()
    supervisor.wait()


def _toggled_until_dark(supervisor: Supervisor, chance: random.Random, possible: set[bool]) -> set[bool]:
    """Switch it on and off; return what may be found afterwards: what was confirmed last, or what was under way."""
    while True:
        wanted = chance.choice((True, False))
        possible = possible | {wanted}
        try:
            verb, note = "enable" if wanted else "disable", {"note": "x" * chance.randrange(500)}
            code, body = supervisor.request("POST", f"/v1/children/well/{verb}", note)
        except NotAnswering:
            return possible
        assert code == 200, body
        possible = {wanted}


def _at(supervisor: Supervisor, offset: float) -> None:
    """Set the clock of those who look into this file, in one step."""
    path = supervisor.config.parent / "clock"
    path.with_suffix(".new").write_text(json.dumps(offset))
    path.with_suffix(".new").replace(path)


def _rows(supervisor: Supervisor) -> list[dict[str, object]]:
    found = json.loads(supervisor.cli("history", "one", "--json").stdout)
    return [row for row in found if row["state"] in ("ok", "failed", "running")]


@fault(
    "T1",
    "the wall clock jumps",
    injected="the child's clock is set an hour forward, and back, while a run is due every second",
    expected="no slot starts twice, the slots that were jumped over are missed, the process is not touched",
)
def _(scene: Scene) -> None:
    made = scene.written(
        OWN_CLOCK + "def tick():\n    note('runs')\n", HEAD + '[tasks.one]\nrun = "mine:tick"\nevery = "1s"\n' + WELL
    )
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        _jumps(made, supervisor, 3600.0)
        ran = len(made.lines("runs"))
        eventually(lambda: len(made.lines("runs")) >= ran + 2, within=60)
        _jumps(made, supervisor, 0.0)
        eventually(
            lambda: "set back" in str(told(supervisor, "history", "one", "--missed")) + supervisor.stderr, within=60
        )
        rows = _rows(supervisor)
        slots = [row["slot"] for row in rows]
        assert len(slots) == len(set(slots)), slots
        missed = str(told(supervisor, "history", "one", "--missed", "--json"))
        assert '"missed"' in missed, (missed, rows)
        assert (supervisor.pid_of("one"), supervisor.child("one")["restarts"]) == (pid, 0)


def _jumps(made: Project, supervisor: Supervisor, offset: float) -> None:
    """Set the clock; not within a run: what falls due while one runs is an overlap."""
    ran = len(made.lines("runs"))
    eventually(lambda: len(made.lines("runs")) > ran, within=30)
    supervisor.wait_child("one", lambda child: child["phase"] == "idle")
    _at(supervisor, offset)


@fault(
    "T2",
    "summer time begins and ends",
    injected="the child's clock is set to seconds before 02:30 on both nights in Berlin",
    expected="each wall slot once: in spring at 03:00, in autumn the first 02:30 only",
)
def _(scene: Scene) -> None:
    spring = 1774747795.0  # 2026-03-29T01:29:55Z: the clock went from 02:00 to 03:00 half an hour ago
    autumn = 1792888195.0  # 2026-10-25T00:29:55Z: the first 02:30 is near
    with ExitStack() as stack:
        in_spring = _night(scene, stack, spring - 1800, "2026-03-29T01:00:00+00:00")
        in_autumn = _night(scene, stack, autumn, "2026-10-25T00:30:00+00:00")
        _at(in_spring, spring - time.time())  # to 02:30 as if it existed
        _at(in_autumn, autumn + 3600 - time.time())  # to the second 02:30 of that night
        time.sleep(8)  # over these: nothing is to happen
        for supervisor in (in_spring, in_autumn):
            assert (supervisor.config.parent / "runs").read_text().count("\n") == 1


def _night(scene: Scene, stack: ExitStack, begin: float, slot: str) -> Supervisor:
    """Return a supervisor that, a few seconds after this moment, has made the night's run."""
    config = HEAD + '[tasks.one]\nrun = "mine:tick"\nat = "02:30"\ntimezone = "Europe/Berlin"\ncatch_up = "none"\n'
    made = scene.written(OWN_CLOCK + "def tick(ctx):\n    note('runs', ctx.scheduled_for.isoformat())\n", config)
    made.write("clock", json.dumps(begin - time.time()))
    supervisor = stack.enter_context(made.supervisor())
    assert eventually(lambda: made.lines("runs"), within=60) == [slot]
    return supervisor
