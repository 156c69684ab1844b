"""H and T: what can go wrong with the machine and its clock."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from faults.catalogue import fault
from faults.scene import CONFIG, HEAD, WELL, Scene, told
from support.eventually import eventually
from support.supervisor_process import Supervisor
from support.system import state

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


@fault(
    "H1",
    "suspend and resume",
    injected="SIGSTOP of the whole tree, longer than the heartbeat timeout, then SIGCONT",
    expected="nobody is killed; the slots of that time are recorded as missed, at most one is made up for",
)
def _(scene: Scene) -> None:
    made = scene.written(
        "def tick():\n    note('runs', time.time())\n", HEAD + '[tasks.one]\nrun = "mine:tick"\nevery = "1s"\n'
    )
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        eventually(lambda: len(made.lines("runs")) >= 2, within=30)
        for each in (pid, supervisor.pid):
            os.kill(each, signal.SIGSTOP)
        eventually(lambda: state(supervisor.pid) == "T", within=30)
        ran = len(made.lines("runs"))
        time.sleep(5)  # longer than the timeout of 2 s: that is the fault
        for each in (supervisor.pid, pid):
            os.kill(each, signal.SIGCONT)
        eventually(lambda: len(made.lines("runs")) >= ran + 3, within=30)
        assert (supervisor.pid_of("one"), supervisor.child("one")["restarts"]) == (pid, 0)
        rows = json.loads(str(told(supervisor, "history", "one", "--json")))
        assert any(row["state"] == "missed" for row in rows), rows


@fault(
    "H2",
    "memory pressure",
    injected="the kernel's own scores",
    expected="children go before the supervisor and its guard",
)
def _(scene: Scene) -> None:
    with scene.harmful("pass").supervisor() as supervisor:
        child = supervisor.pid_of("one")
        adjusted = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (supervisor.pid, child)]
        scores = [int(Path(f"/proc/{pid}/oom_score").read_text()) for pid in (supervisor.pid, child)]
        assert adjusted[1] > adjusted[0]
        assert scores[1] > scores[0]


@fault(
    "H3",
    "no CPU for it",
    injected="stress-ng on all cores, the child at nice 19",
    expected="no healthy child is taken for hung (ten minutes of it: tests/chaos/overload.py)",
)
def _(scene: Scene) -> None:
    made = scene.written("def tick():\n    note('runs')\n", CONFIG.replace('timeout = "2s"', 'timeout = "20s"'))
    if not shutil.which("stress-ng"):
        pytest.skip("needs stress-ng")
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        os.setpriority(os.PRIO_PROCESS, pid, 19)
        subprocess.run(["stress-ng", "--cpu", "16", "--timeout", "10s", "--quiet"], check=True)
        assert (supervisor.pid_of("one"), supervisor.child("one")["restarts"]) == (pid, 0)


@fault(
    "H4",
    "power cut while state is written",
    injected="kill -9 of supervisor and guard at random moments while toggles change",
    expected="the file holds the toggles as they were before or after, never a torn one; what was confirmed stays",
)
def _(scene: Scene) -> None:
    made = scene.harmful("pass")
    chance = random.Random(4)
    for _ in range(6):
        with made.supervisor() as supervisor:
            supervisor.wait_ready()
            confirmed = None
            end = time.monotonic() + chance.uniform(0.05, 0.4)
            while time.monotonic() < end:
                verb = chance.choice(("disable", "enable"))
                code, body = supervisor.request(
                    "POST", f"/v1/children/well/{verb}", {"note": "x" * chance.randrange(500)}
                )
                assert code == 200, body
                confirmed = verb
            supervisor.kill()
        with made.supervisor() as supervisor:
            supervisor.wait_ready()
            status = supervisor.status()
            assert not [note for note in status["supervisor"]["notes"] if "toggles" in note], status["supervisor"]
            if confirmed:
                assert supervisor.child("well")["enabled"] is (confirmed == "enable")


def _at(supervisor: Supervisor, offset: float) -> None:
    path = supervisor.config.parent / "clock"
    path.with_suffix(".new").write_text(json.dumps(offset))
    path.with_suffix(".new").replace(path)


def _rows(supervisor: Supervisor) -> list[dict[str, object]]:
    found = json.loads(str(told(supervisor, "history", "one", "--json")))
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
        for offset in (3600.0, 0.0):
            ran = eventually(lambda: len(made.lines("runs")), within=30)
            time.sleep(0.3)  # that run is over: what falls due while one runs is an overlap
            _at(supervisor, offset)
            if offset:
                eventually(lambda ran=ran: len(made.lines("runs")) >= ran + 3, within=60)
        eventually(
            lambda: "set back" in str(told(supervisor, "history", "one", "--missed")) + supervisor.stderr, within=60
        )
        rows = _rows(supervisor)
        slots = [row["slot"] for row in rows]
        assert len(slots) == len(set(slots)), slots
        missed = str(told(supervisor, "history", "one", "--missed", "--json"))
        assert '"missed"' in missed, (missed, rows)
        assert (supervisor.pid_of("one"), supervisor.child("one")["restarts"]) == (pid, 0)


@fault(
    "T2",
    "summer time begins and ends",
    injected="the child's clock is set to seconds before 02:30 on both nights in Berlin",
    expected="each wall slot once: in spring at 03:00, in autumn the first 02:30 only",
)
def _(scene: Scene) -> None:
    spring, autumn = (
        1774747795.0,
        1792888195.0,
    )  # 2026-03-29T01:29:55Z (after the gap), 2026-10-25T00:29:55Z (first fold)
    config = HEAD + '[tasks.one]\nrun = "mine:tick"\nat = "02:30"\ntimezone = "Europe/Berlin"\ncatch_up = "none"\n'
    nights = (
        (autumn, autumn + 3600, "2026-10-25T00:30:00+00:00"),
        (spring - 1800, spring, "2026-03-29T01:00:00+00:00"),
    )
    for begin, later, slot in nights:
        made = scene.written(OWN_CLOCK + "def tick(ctx):\n    note('runs', ctx.scheduled_for.isoformat())\n", config)
        clock = made.folder / "clock"
        clock.write_text(json.dumps(begin - time.time()))
        with made.supervisor() as supervisor:
            supervisor.wait_ready()
            eventually(lambda made=made: made.lines("runs"), within=60)
            _at(supervisor, later - time.time())
            time.sleep(8)  # over the second 02:30 of that night, or 02:30 as if it existed: nothing is to happen
            assert made.lines("runs") == [slot]
