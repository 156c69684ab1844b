"""P: what can go wrong with the supervisor itself."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from faults.catalogue import fault
from faults.scene import CONFIG, HEAD, ONE, Scene, cgroup
from support.disk import fill
from support.eventually import eventually
from support.project import Project
from support.supervisor_process import Supervisor, connected
from support.system import alive, of_this_session, rss, state, title

CODE = "def tick():\n    note('runs', os.getpid())\n"
GET = b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"


def _made(scene: Scene, config: str = CONFIG) -> Project:
    return scene.written(CODE, config)


def _guards() -> list[int]:
    return of_this_session("guard")


def _again(made: Project, *, runs: int) -> None:
    """The next start is as any other."""
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        eventually(lambda: len(made.lines("runs")) >= runs, within=30)
        assert supervisor.stop() == 0, supervisor.stderr


@fault(
    "P1",
    "SIGKILL of the supervisor",
    injected="kill -9",
    expected="nothing of the tree is left (100 times: tests/chaos/parent_kills.py); a clean next start",
)
def _(scene: Scene) -> None:
    made = _made(scene)
    with made.supervisor() as supervisor:
        pids = [supervisor.pid_of(name) for name in ("one", "well")]
        supervisor.kill()
        eventually(lambda: not any(map(alive, pids)) and of_this_session() == [], within=30)
    _again(made, runs=1)


@fault(
    "P2", "SIGKILL of the guard", injected="kill -9", expected="a new guard within a second or two; children untouched"
)
def _(scene: Scene) -> None:
    with _made(scene).supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        (old,) = eventually(_guards, within=30)
        os.kill(old, signal.SIGKILL)
        eventually(lambda: [new for new in _guards() if new != old], within=30)
        assert supervisor.pid_of("one") == pid


@fault(
    "P3",
    "SIGKILL of supervisor and guard together",
    injected="kill -9 of both, and a daemon of a child that lives on",
    expected="the next start ends what is left before it forks",
)
def _(scene: Scene) -> None:
    made = scene.written(
        "import subprocess\ndef tick():\n"
        "    note('left', subprocess.Popen(['setsid', 'sleep', '600']).pid)\n    note('runs')\n"
    )
    with made.supervisor() as supervisor:
        (left,) = (int(line) for line in eventually(lambda: made.lines("left"), within=30))
        os.kill(supervisor.pid, signal.SIGSTOP)  # or it would make a new guard
        for guard in _guards():
            os.kill(guard, signal.SIGKILL)
        supervisor.kill()
        assert alive(left), "nobody was there to end it"
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        assert not alive(left)


@fault(
    "P4",
    "frozen",
    injected="SIGSTOP for twice the heartbeat timeout (60 s of it: tests/chaos/overload.py)",
    expected="all deadlines move by the gap: nobody is killed, and it is said how long it was",
)
def _(scene: Scene) -> None:
    with _made(scene).supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        os.kill(supervisor.pid, signal.SIGSTOP)
        eventually(lambda: state(supervisor.pid) == "T", within=30)
        time.sleep(4)
        os.kill(supervisor.pid, signal.SIGCONT)
        eventually(lambda: "itself was frozen for" in supervisor.stderr, within=30)
        assert (supervisor.pid_of("one"), supervisor.child("one")["restarts"]) == (pid, 0)


@fault("P5", "SIGTERM", injected="kill -TERM", expected="everything ends within the grace period, exit code 0")
def _(scene: Scene) -> None:
    with _made(scene).supervisor() as supervisor:
        supervisor.wait_ready()
        assert supervisor.stop() == 0, supervisor.stderr
        assert of_this_session() == []


@fault(
    "P6",
    "SIGTERM again and again",
    injected="three times, with a child that hears nothing and a grace period of a minute",
    expected="the second leaves two seconds, the third kills; exit code 1",
)
def _(scene: Scene) -> None:
    made = scene.harmful(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ndeaf(lambda: time.sleep(600))",
        CONFIG.replace('"1s"\nb', '"60s"\nb'),
    )
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        supervisor.wait_child("one", lambda child: child["phase"] == "running")
        for heard in ("stopping: SIGTERM", "SIGTERM again: two seconds are left", "SIGTERM again: killing"):
            supervisor.terminate()
            eventually(lambda heard=heard: heard in supervisor.stderr or not supervisor.running, within=30)
        assert supervisor.wait() == 1
        assert not alive(pid)


@fault(
    "P7",
    "SIGTERM while it starts, reloads, or a child is in backoff",
    injected="signals at these moments (1,000 at random ones: tests/chaos/sigterms.py)",
    expected="no start after it; gone in time, exit code 0",
)
def _(scene: Scene) -> None:
    made = scene.written("raise ConnectionError('no')\n")
    for moment in ("start", "reload", "backoff"):
        with made.supervisor() as supervisor:
            if moment != "start":
                supervisor.wait_child("one", lambda child: child["state"] == "backoff")
            if moment == "reload":
                supervisor.process.send_signal(signal.SIGHUP)
            supervisor.terminate()
            assert supervisor.wait() in ((0, -signal.SIGTERM) if moment == "start" else (0,)), supervisor.stderr
        eventually(lambda: of_this_session() == [], within=30)


@fault(
    "P8",
    "SIGHUP with a broken configuration",
    injected="an unknown key, then SIGHUP and `reload`",
    expected="the old one stays in force; file, line and key are told, in status too; reload ends with 2",
)
def _(scene: Scene) -> None:
    made = _made(scene)
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        made.configure(CONFIG + "evry = 3\n")
        supervisor.process.send_signal(signal.SIGHUP)
        eventually(lambda: "the old one stays in force" in supervisor.stderr, within=30)
        assert "tasks.well.evry" in supervisor.stderr
        assert supervisor.status()["supervisor"]["config"]["problems"]
        assert supervisor.cli("reload").returncode == 2
        assert supervisor.pid_of("one") == pid


@fault(
    "P9",
    "a storm of signals",
    injected="SIGHUP, SIGCHLD and SIGUSR1 as fast as another process can send them",
    expected="status is answered, children stay, and a SIGTERM in the middle of it is heard",
)
def _(scene: Scene) -> None:
    storm = "import os\nwhile True:\n    os.kill({0}, 1)\n    os.kill({0}, 17)\n    os.kill({0}, 10)\n"
    with _made(scene).supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        command = [sys.executable, "-c", storm.format(supervisor.pid)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as sender:
            for _ in range(10):
                assert supervisor.child("one")["pid"] == pid
            supervisor.terminate()
            assert supervisor.wait(60) == 0, supervisor.stderr
            sender.kill()


@fault(
    "P10",
    "other signals",
    injected="SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH; SIGQUIT",
    expected="the first change nothing; SIGQUIT stops as SIGTERM does",
)
def _(scene: Scene) -> None:
    with _made(scene).supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        for number in (signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGWINCH):
            supervisor.process.send_signal(number)
        assert supervisor.pid_of("one") == pid
        supervisor.process.send_signal(signal.SIGQUIT)
        assert supervisor.wait() == 0
        assert "stopping: SIGQUIT" in supervisor.stderr


@fault(
    "P11",
    "nobody reads what it says",
    injected="stderr is a pipe whose reader leaves",
    expected="it goes on, and its lines are in its log file",
)
def _(scene: Scene) -> None:
    made = _made(scene)
    supervisor = Supervisor(made.config)
    read, write = os.pipe()
    command = [sys.executable, "-m", "supervisor", "start", "--config", str(made.config)]
    supervisor._process = subprocess.Popen(command, cwd=made.folder, stdout=write, stderr=write, start_new_session=True)
    supervisor._output("stderr").write_text("")
    os.close(write)
    try:
        with open(read) as reader:
            assert reader.readline()
        pid = supervisor.pid_of("one")
        os.kill(pid, signal.SIGKILL)
        supervisor.wait_child("one", lambda child: child["ready"] and child["pid"] != pid)
        assert "SIGKILL" in (made.state / "logs" / "supervisor.log").read_text()
        assert supervisor.stop() == 0
    finally:
        supervisor.clean()


def _not_saved(supervisor: Supervisor) -> list[str]:
    return [note for note in supervisor.status()["supervisor"]["notes"] if "not saved" in note]


@fault(
    "P12",
    "disk full: toggles",
    injected="a tmpfs of 512 KiB, filled",
    expected="in force at once; the answer and status say that it is not saved; saved by itself when there is room",
)
def _(scene: Scene) -> None:
    made = _made(scene)
    scene.small_disk(made)
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        fill(made.state)
        supervisor.request("POST", "/v1/children/well/disable", {})
        supervisor.wait_child("well", lambda child: child["state"] == "stopped")
        ballast = fill(made.state)  # its ledger gave some back; from here on nobody does
        code, body = supervisor.request("POST", "/v1/children/well/disable", {"note": "full"})
        assert (code, "could not be saved" in body.get("error", "")) == (500, True), body
        eventually(lambda: _not_saved(supervisor), within=30)
        assert supervisor.child("well")["override"]["note"] == "full"
        ballast.unlink()
        eventually(lambda: not _not_saved(supervisor), within=60)
        assert "full" in (made.state / "toggles.json").read_text()
        assert supervisor.stop() == 0, supervisor.stderr


@fault(
    "P13",
    "disk full: logs and ledgers",
    injected="a tmpfs of 512 KiB, filled, while children run and crash",
    expected="supervision goes on, little is said about it, and lines are written again when there is room",
)
def _(scene: Scene) -> None:
    made = _made(scene)
    scene.small_disk(made)
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        ballast = fill(made.state)
        ran = len(made.lines("well"))
        eventually(lambda: len(made.lines("well")) >= ran + 3, within=30, what="runs go on")
        os.kill(pid, signal.SIGKILL)
        supervisor.wait_child("one", lambda child: child["ready"] and child["pid"] != pid)
        assert len(supervisor.stderr) < 50_000
        assert "Traceback" not in supervisor.stderr
        ballast.unlink()
        assert supervisor.stop() == 0, supervisor.stderr


@fault(
    "P14",
    "writes to the state folder fail, or take seconds",
    injected="strace: every fsync of the tree waits a second and fails with EIO",
    expected="supervision is not held up, toggles hold in memory, status says what is not saved",
)
def _(scene: Scene) -> None:
    made = _made(scene)
    prefix = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]
    prefix += ["-e", "inject=fsync,fdatasync:error=EIO:delay_enter=1000000"]
    with Supervisor(made.config, prefix=prefix) as supervisor:
        pid = supervisor.pid_of("one")
        supervisor.request("POST", "/v1/children/well/disable", {})
        supervisor.wait_child("well", lambda child: child["state"] == "stopped")
        os.kill(pid, signal.SIGKILL)
        supervisor.wait_child("one", lambda child: child["ready"] and child["pid"] != pid)
        eventually(lambda: _not_saved(supervisor), within=60)
        assert supervisor.cli("stop").returncode in (0, 1)
        supervisor.wait(60)


@fault(
    "P15",
    "broken files in the state folder",
    injected="toggles, journal, events, lock: torn, of a future version, 1 GiB, a link, a folder",
    expected="moved aside or worked around, said in status; it starts",
)
def _(scene: Scene) -> None:
    made = _made(scene)
    with made.supervisor() as supervisor:
        supervisor.wait_ready()
        supervisor.request("POST", "/v1/children/well/disable", {"note": "kept"})
        assert supervisor.stop() == 0
    files = [path for path in made.state.iterdir() if path.is_file() and path.name != "lock"]
    assert len(files) >= 2, files

    def huge(path: Path) -> None:
        with open(path, "wb") as file:
            file.truncate(1 << 30)

    def folder(path: Path) -> None:
        path.unlink()
        path.mkdir()

    def link(path: Path) -> None:
        path.unlink()
        path.symlink_to("/etc/passwd")

    def torn(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-7] + b"\xff\x00{")

    def future(path: Path) -> None:
        path.write_text('{"version": 999}\n')

    for spoil in (torn, future, huge, folder, link):
        saved = {path: path.read_bytes() for path in files}
        for path in files:
            spoil(path)
        with made.supervisor() as supervisor:
            supervisor.wait_child("one", lambda child: child["ready"])
            assert "Traceback" not in supervisor.stderr
            assert rss(supervisor.pid) < 200 << 20
            assert supervisor.stop() == 0, supervisor.stderr
        for path, data in saved.items():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
            path.write_bytes(data)
    assert "root" in Path("/etc/passwd").read_text()


@fault(
    "P16",
    "out of descriptors",
    injected="RLIMIT_NOFILE of 3, under a running supervisor",
    expected="it lives, says so, and replaces the dead as soon as it has some",
)
def _(scene: Scene) -> None:
    with _made(scene).supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        soft, hard = resource.prlimit(supervisor.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(supervisor.pid, resource.RLIMIT_NOFILE, (3, hard))  # whatever is closed, no number is free
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: "could not be forked" in supervisor.stderr, within=30)
        assert supervisor.running
        resource.prlimit(supervisor.pid, resource.RLIMIT_NOFILE, (soft, hard))
        supervisor.wait_child("one", lambda child: child["ready"] and child["pid"] != pid, within=60)
        assert supervisor.stop() == 0, supervisor.stderr


@fault(
    "P17",
    "fork is refused",
    injected="a pids cgroup that is full, for a few tries (60 s and longer are the same loop)",
    expected="tried again at the cap for ever, not counted as a failure; up when it ends",
)
def _(scene: Scene) -> None:
    with cgroup("pids") as group, _made(scene).supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        (group / "cgroup.procs").write_text(str(supervisor.pid))
        (group / "pids.max").write_text("1")
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: supervisor.stderr.count("could not be forked") >= 4, within=60)
        assert supervisor.child("one")["restarts"] == 1
        (group / "pids.max").write_text("max")
        supervisor.wait_child("one", lambda child: child["ready"])
        assert supervisor.stop() == 0, supervisor.stderr


@fault(
    "P18",
    "the clock is set by a day",
    injected="the supervisor's own wall clock, forward and back",
    expected="deadlines and waits are monotonic: nobody is killed, nothing waits a day",
)
def _(scene: Scene) -> None:
    made = _made(scene)
    made.write(
        "plant/sitecustomize.py",
        "import os, time\n_real, _file = time.time, os.path.join(os.path.dirname(__file__), 'shift')\n"
        "def now():\n    try:\n        return _real() + float(open(_file).read())\n"
        "    except (OSError, ValueError):\n        return _real()\n"
        "if 'FORKWARDEN_PLAN_FD' in os.environ:\n    time.time = now\n",
    )
    with made.supervisor(PYTHONPATH=str(made.folder / "plant")) as supervisor:
        pid = supervisor.pid_of("one")
        for shift in (86400, -86400):
            made.write("plant/shift", str(shift))
            time.sleep(2.5)  # longer than the heartbeat timeout
            assert (supervisor.pid_of("one"), supervisor.child("one")["pid"]) == (pid, pid)
            os.kill(pid, signal.SIGKILL)
            supervisor.wait_child("one", lambda child, pid=pid: child["ready"] and child["pid"] != pid)
            pid = supervisor.pid_of("one")
        assert supervisor.stop() == 0, supervisor.stderr


@fault(
    "P19",
    "stale socket and lock, a pid that is another's by now",
    injected="files as an earlier life left them",
    expected="it starts; the innocent is left alone",
)
def _(scene: Scene) -> None:
    made = _made(scene)
    innocent = subprocess.Popen(["sleep", "600"])
    try:
        made.state.mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(made.state / "ctl.sock"))
        about = {
            "pid": innocent.pid,
            "run_id": "0" * 32,
            "since": "2026-01-01T00:00:00Z",
            "socket": None,
            "unswept": [],
        }
        (made.state / "lock").write_text(json.dumps(about))
        _again(made, runs=1)
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


@fault(
    "P20",
    "two supervisors of one configuration",
    injected="three started at once, seven times",
    expected="one lives; the others say who and since when, exit code 1",
)
def _(scene: Scene) -> None:
    made = _made(scene)
    for _round in range(7):
        rivals = [Supervisor(made.config) for _ in range(3)]
        for number, rival in enumerate(rivals):
            rival._starts = 10 * number
            rival.start()
        try:
            eventually(lambda rivals=rivals: sum(rival.running for rival in rivals) == 1, within=60)
            (winner,) = (rival for rival in rivals if rival.running)
            for rival in (rival for rival in rivals if rival is not winner):
                assert rival.process.returncode == 1, rival.stderr
                assert "already running" in rival.stderr
            winner.wait_ready()
            ones = of_this_session("forkwarden: one")
            assert ones == [winner.pid_of("one")], [(pid, title(pid), state(pid)) for pid in ones]
            assert winner.stop() == 0, winner.stderr
        finally:
            for rival in rivals:
                rival.clean()


@fault(
    "P21",
    "the state folder is removed under it",
    injected="rm -r, and of the socket alone",
    expected="made again within seconds, no second owner, children write into files that have a name",
)
def _(scene: Scene) -> None:
    made = _made(scene)
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        (made.state / "ctl.sock").unlink()
        eventually(lambda: (made.state / "ctl.sock").exists(), within=30)
        assert supervisor.pid_of("one") == pid
        shutil.rmtree(made.state)
        eventually(lambda: (made.state / "ctl.sock").exists() and (made.state / "lock").exists(), within=30)
        supervisor.wait_child("one", lambda child: child["ready"] and child["pid"] != pid)
        second = made.run("start")
        assert second.returncode == 1
        assert "already running" in second.stderr


@fault(
    "P22",
    "clients that hang, send half, too much, garbage, or leave",
    injected="500 at once, 300 MB, noise, a request in two halves, a client gone in mid-answer",
    expected="refused with a reason; a good client is answered meanwhile; nothing grows",
)
def _(scene: Scene) -> None:
    with _made(scene).supervisor() as supervisor, ExitStack() as stack:
        supervisor.wait_ready()
        before, path = rss(supervisor.pid), str(supervisor.state / "ctl.sock")
        for number in range(500):
            idle = stack.enter_context(connected(path))
            if number % 3 == 0:
                idle.sendall(GET[:20])
            if number % 100 == 0:
                assert supervisor.status()["supervisor"]["pid"] == supervisor.pid
        with connected(path) as flood:
            sent = 0
            try:
                flood.sendall(b"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 300000000\r\n\r\n")
                for _ in range(5000):
                    sent += flood.send(b"x" * 65536)
            except OSError:
                pass
            assert sent < 4_000_000
        with connected(path) as noise:
            noise.sendall(os.urandom(3000))
        with connected(path) as leaves:
            leaves.sendall(GET)
        assert supervisor.status()["supervisor"]["pid"] == supervisor.pid
        assert rss(supervisor.pid) - before < 16 << 20


@fault(
    "P23",
    "a client of another user",
    injected="nobody connects",
    expected="the folder and the socket keep it out",
)
def _(scene: Scene) -> None:
    with _made(scene).supervisor() as supervisor:
        supervisor.wait_ready()
        path = supervisor.state / "ctl.sock"
        assert path.stat().st_mode & 0o777 == 0o600
        assert supervisor.state.stat().st_mode & 0o777 == 0o700
        script = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
        command = ["setpriv", "--reuid", "65534", "--clear-groups", "/usr/bin/python3", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode != 0
        assert "Permission denied" in done.stderr


@fault(
    "P24",
    "a bug of ours in the loop",
    injected="an exception planted in the look of every second",
    expected="it ends at once with 70, says where, and leaves nothing",
)
def _(scene: Scene) -> None:
    made = _made(scene)
    root = str(Path(__file__).resolve().parents[2])
    made.write(
        "plant/sitecustomize.py",
        f"import os, sys\nif 'FORKWARDEN_PLAN_FD' in os.environ:\n    sys.path.insert(0, {root!r})\n"
        "    from supervisor.parent import supervisor as module\n    real = module.Supervisor._look\n"
        "    def planted(self, now):\n"
        f"        if os.path.exists({str(made.folder / 'now')!r}):\n            raise ZeroDivisionError('ours')\n"
        "        return real(self, now)\n    module.Supervisor._look = planted\n",
    )
    with made.supervisor(PYTHONPATH=str(made.folder / "plant")) as supervisor:
        supervisor.wait_ready()
        made.write("now", "")
        assert supervisor.wait() == 70, supervisor.stderr
        eventually(lambda: of_this_session() == [], within=30)
        assert "a bug of ours" in supervisor.stderr


@fault(
    "P25",
    "a hundred children crash at once",
    injected="kill -9 of 100",
    expected="all run again, at different moments after the first try; status is answered; no zombie stays",
)
def _(scene: Scene) -> None:
    config = HEAD.replace("jitter = 0.0", "jitter = 0.5") + "".join(
        ONE.replace("tasks.one", f"tasks.t{number}") for number in range(100)
    )
    made = _made(scene, config)
    with made.supervisor() as supervisor:
        supervisor.wait_ready(120)
        for _round in range(2):
            children = supervisor.status()["children"]
            for child in children:
                os.kill(child["pid"], signal.SIGKILL)
            old = {child["pid"] for child in children}
            tries: set[str] = set()

            def replaced(old: set[int] = old, tries: set[str] = tries) -> bool:
                now = supervisor.status()["children"]
                tries.update(child["next_try"] for child in now if child["next_try"])
                return all(child["ready"] and child["pid"] not in old for child in now)

            eventually(replaced, within=120)
        assert len(tries) > 10, "the second time they wait, each for its own time"
        assert not [pid for pid in of_this_session() if state(pid) == "Z"]
        assert supervisor.stop(60) == 0


@fault(
    "P26",
    "it is process 1",
    injected="unshare --pid --fork --mount-proc",
    expected="orphans are reaped, TERM ends everything with 0",
)
def _(scene: Scene) -> None:
    made = scene.written(
        "import subprocess\ndef tick():\n"
        "    subprocess.Popen(['setsid', '-f', 'true'])\n    note('runs', os.getpid())\n"
    )
    prefix = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with Supervisor(made.config, prefix=prefix) as supervisor:
        supervisor.wait_ready()
        eventually(lambda: made.lines("runs"), within=30)
        assert supervisor.status()["supervisor"]["pid"] == 1
        assert supervisor.cli("stop").returncode == 0
        assert supervisor.wait() == 0, supervisor.stderr
