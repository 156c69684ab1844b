"""C: what can go wrong with a child."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal

from faults.catalogue import fault
from faults.scene import CONFIG, HEAD, ONE, WELL, Scene, cgroup, kept, limit_memory, started_in, told
from support.eventually import eventually
from support.pipe_code import MESSAGES
from support.project import Project
from support.supervisor_process import Supervisor
from support.system import alive, descriptors, rss

QUIET = CONFIG.replace('timeout = "1h"', 'timeout = "1s"\nkill_after = "500ms"')


@fault("C1", "exits with 0 unasked", injected="os._exit(0) in a run", expected="replaced, counted, and said so")
def _(scene: Scene) -> None:
    with scene.heals("os._exit(0)", "crash", "exited 0, which nobody asked for") as (_, supervisor):
        assert supervisor.child("one")["restarts"] == 1


@fault(
    "C2",
    "fails at its start, for ever",
    injected="the task's module raises",
    expected="waits grow to the cap, the next try and the reason are told, and it never gives up silently",
)
def _(scene: Scene) -> None:
    made = scene.written("note('tries', time.monotonic())\nraise ConnectionError('no database')\n")
    with made.supervisor() as supervisor:
        eventually(lambda: len(made.lines("tries")) >= 6, within=60)
        at = [float(line) for line in made.lines("tries")]
        waits = [later - earlier for earlier, later in itertools.pairwise(at)]
        assert all(wait >= least for wait, least in zip(waits, (0, 0.1, 0.2, 0.4, 0.5), strict=False)), waits
        child = supervisor.wait_child("one", lambda child: child["state"] == "backoff")
        assert "ConnectionError: no database" in child["reason"]
        assert child["next_try"]
        assert supervisor.child("well")["restarts"] == 0


@fault(
    "C3",
    "crashes slowly, for ever",
    injected="exit 1 shortly after it was ready, each time",
    expected="the count grows all the same: only a life of stable_after forgets it",
)
def _(scene: Scene) -> None:
    made = scene.written("def tick():\n    note('runs')\n    time.sleep(0.3)\n    os._exit(1)\n")
    with made.supervisor() as supervisor:
        supervisor.wait_child("one", lambda child: child["restarts"] >= 5, within=60)
        assert supervisor.child("one")["starts"] >= 5


@fault(
    "C4",
    "SIGKILL",
    injected="kill -9",
    expected="replaced at once; the reason names the signal, and that it is not ours",
)
def _(scene: Scene) -> None:
    with scene.heals("os.kill(os.getpid(), signal.SIGKILL)", "crash", "killed by SIGKILL (not by us)"):
        pass


@fault(
    "C5",
    "crashes in C",
    injected="ctypes.string_at(0), os.abort(), SIGBUS",
    expected="replaced; the signal is named and the report holds the Python line",
)
def _(scene: Scene) -> None:
    _crashes(scene, "ctypes.string_at(0)", "SIGSEGV")
    _crashes(scene, "os.abort()", "SIGABRT")
    _crashes(scene, "os.kill(os.getpid(), signal.SIGBUS)", "SIGBUS")


def _crashes(scene: Scene, body: str, name: str) -> None:
    with scene.heals(body, "crash", f"killed by {name}") as (_, supervisor):
        eventually(lambda: "in harm" in kept(supervisor), within=30)


@fault(
    "C6", "frozen", injected="kill -STOP", expected="hung after the heartbeat timeout: TERM with CONT, KILL, replaced"
)
def _(scene: Scene) -> None:
    with scene.heals("os.kill(os.getpid(), signal.SIGSTOP)", "hung", "no heartbeat for"):
        pass


@fault(
    "C7",
    "killed by the kernel for memory",
    injected="a memory cgroup of 200 MiB",
    expected="replaced; the reason says out of memory",
)
def _(scene: Scene) -> None:
    made = scene.harmful("hog = []\nwhile True:\n    hog.append(bytearray(1 << 20))")
    with cgroup("memory") as group:
        limit_memory(group, 200 << 20)
        with Supervisor(made.config, prefix=started_in(group)) as supervisor:
            child = supervisor.wait_child("one", lambda child: child["ready"] and child["starts"] == 2, within=90)
            assert (child["last_exit"]["cause"], child["last_exit"]["reason"]) == (
                "oom",
                "killed by the kernel: out of memory",
            )


def _timed_out(scene: Scene, body: str) -> None:
    with scene.heals(body, "timed_out", "timed out: running", QUIET) as (_, supervisor):
        assert supervisor.child("one")["restarts"] == 0
        assert "in harm" in kept(supervisor), "the guilty line"


@fault(
    "C8",
    "loops for ever and swallows every exception",
    injected="while True: pass",
    expected="timed out when the run's time is over: stacks kept, then TERM, KILL, replaced, uncounted",
)
def _(scene: Scene) -> None:
    _timed_out(scene, "deaf(lambda: None)")


@fault(
    "C9",
    "hangs in C and holds the interpreter",
    injected="sum(range(10**18)), ctypes.PyDLL(None).sleep(999)",
    expected="no heartbeat: hung, stacks kept, replaced",
)
def _(scene: Scene) -> None:
    for body in ("sum(range(10**18))", "ctypes.PyDLL(None).sleep(999)"):
        with scene.heals(body, "hung", "no heartbeat for") as (_, supervisor):
            assert "in harm" in kept(supervisor)


@fault(
    "C10",
    "hangs in C beside the interpreter",
    injected="ctypes.CDLL(None).sleep(999), again and again",
    expected="timed out when the run's time is over, replaced, uncounted",
)
def _(scene: Scene) -> None:
    _timed_out(scene, "deaf(lambda: ctypes.CDLL(None).sleep(999))")


@fault(
    "C11",
    "deadlock, or a coroutine that waits for ever",
    injected="a lock taken twice; await Future()",
    expected="the run ends at its timeout as timed_out and the process lives; one that swallows that is killed for it",
)
def _(scene: Scene) -> None:
    code = (
        "import asyncio, threading\nlock = threading.Lock()\nlock.acquire()\n"
        "def tick():\n    lock.acquire()\n"
        "async def wait():\n    await asyncio.get_running_loop().create_future()\n"
    )
    two = ONE.replace("tasks.one", "tasks.two").replace("mine:tick", "mine:wait")
    made = scene.written(code, QUIET + two.replace('timeout = "1h"', 'timeout = "1s"'))
    with made.supervisor() as supervisor:
        for name in ("one", "two"):
            child = supervisor.wait_child(name, lambda child: (child.get("last_run") or {}).get("finished"), within=60)
            assert child["last_run"]["state"] == "timed_out"
            assert child["restarts"] == 0
    _timed_out(scene, "lock = threading.Lock()\nlock.acquire()\ndeaf(lock.acquire)")


@fault(
    "C12",
    "a regular expression that explodes",
    injected='re.match("(a+)+$", …)',
    expected="hung, with its line, replaced",
)
def _(scene: Scene) -> None:
    with scene.heals('re.match(r"(a+)+$", "a" * 64 + "b")', "hung", "no heartbeat for") as (_, supervisor):
        assert "in harm" in kept(supervisor)


@fault(
    "C13",
    "a run longer than its interval",
    injected="a run of 0.7 s every 200 ms",
    expected="never two at once; the slots between are recorded as skipped, with the reason",
)
def _(scene: Scene) -> None:
    made = scene.written(
        "def tick():\n    note('spans', f'begin {time.monotonic()}')\n    time.sleep(0.7)\n"
        "    note('spans', f'end {time.monotonic()}')\n",
        HEAD + '[tasks.one]\nrun = "mine:tick"\nevery = "200ms"\n' + WELL,
    )
    with made.supervisor() as supervisor:
        eventually(lambda: len(made.lines("spans")) >= 6, within=60)
        assert [line.split()[0] for line in made.lines("spans")][:6] == ["begin", "end"] * 3
        found = eventually(
            lambda: re.search(r"skipped.*overlap", str(told(supervisor, "history", "one", "--json")), re.S)
        )
        assert found


@fault(
    "C14",
    "leaks memory",
    injected="a run that keeps 300 MiB",
    expected="over max_rss: recycled after the run, not counted; over max_rss_hard: killed, counted",
)
def _(scene: Scene) -> None:
    held = "globals()['held'] = bytearray(b'x') * (300 << 20)\ntime.sleep(1.5)"
    with scene.heals(held, "memory", "over its limit", CONFIG.replace(WELL, 'max_rss = "150MiB"\n' + WELL)) as (
        made,
        supervisor,
    ):
        assert supervisor.child("one")["restarts"] == 0
        assert made.lines("done")[0] == made.lines("runs")[0], "the run was finished"
    hard = CONFIG.replace(WELL, 'max_rss = "none"\nmax_rss_hard = "150MiB"\n' + WELL)
    with scene.heals(held + "\ntime.sleep(600)", "memory_hard", "over its hard limit", hard) as (_, supervisor):
        assert supervisor.child("one")["restarts"] == 1


@fault(
    "C15",
    "leaks descriptors",
    injected="open() until EMFILE",
    expected="the run fails and says why; the heartbeat goes on; the supervisor has no descriptor more",
)
def _(scene: Scene) -> None:
    made = scene.harmful(
        "resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))\nheld = []\n"
        "while True:\n    held.append(open('/dev/null'))"
    )
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        before = descriptors(supervisor.pid)
        child = supervisor.wait_child("one", lambda child: (child.get("last_run") or {}).get("finished"), within=60)
        assert child["last_run"]["state"] == "failed"
        assert "Too many open files" in child["last_run"]["error"]
        assert (child["pid"], child["state"]) == (pid, "running")
        assert descriptors(supervisor.pid) <= before + 1


def _takes_along(scene: Scene, body: str) -> None:
    with scene.heals(f"{body}\nos.kill(os.getpid(), signal.SIGKILL)", "crash", "SIGKILL") as (made, _):
        left = [int(line) for line in made.lines("left")]
        assert left
        assert not any(map(alive, left)), "dead before the next copy ran"


@fault(
    "C16",
    "leaves processes when it crashes",
    injected="Popen(sleep), then kill -9",
    expected="they are dead before the next copy starts",
)
def _(scene: Scene) -> None:
    _takes_along(scene, "note('left', subprocess.Popen(['sleep', '600']).pid)")


@fault(
    "C17",
    "leaves a daemon of its own",
    injected="double fork, setsid, empty environment",
    expected="found as an orphan of ours, killed and reaped before the next copy starts",
)
def _(scene: Scene) -> None:
    body = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        note('left', os.getpid())
        os.closerange(0, 1000)
        os.execve('/bin/sleep', ['sleep', '600'], {})
    os._exit(0)
os.wait()
while not os.path.exists(os.path.join(HERE, 'left')):
    time.sleep(0.01)
"""
    _takes_along(scene, body.strip())


@fault(
    "C18",
    "its grandchild holds its pipes after its death",
    injected="fork without exec, then kill -9",
    expected="the death is seen at once by the pidfd; the grandchild is killed",
)
def _(scene: Scene) -> None:
    _takes_along(scene, "left = os.fork()\nif left == 0:\n    time.sleep(600)\nnote('left', left)")


@fault(
    "C19", "closes its message pipe and works on", injected="os.close(fd)", expected="hung after the timeout, replaced"
)
def _(scene: Scene) -> None:
    with _says(scene, "os.close(messages())\ntime.sleep(600)").supervisor() as supervisor:
        child = supervisor.wait_child("one", lambda child: child["ready"] and child["starts"] == 2, within=60)
        assert child["last_exit"]["cause"] == "hung"


def _says(scene: Scene, body: str) -> Project:
    """Return a project whose first run does `body`, which can write into the pipe to the supervisor."""
    made = scene.harmful(body)
    text = (made.folder / "mine.py").read_text()
    made.write("mine.py", text.replace("def harm():\n", MESSAGES + "def harm():\n"))
    return made


@fault(
    "C20",
    "floods its pipe with heartbeats",
    injected="as many as the pipe takes, until another child has been killed and replaced",
    expected="others are answered and restarted meanwhile; nothing grows; the child is only held up",
)
def _(scene: Scene) -> None:
    flood = (
        "data = frame({'t': 'beat', 'rss': 1, 'cpu': 0.0, 'dropped': 0}) * 50\n"
        "while not os.path.exists(os.path.join(HERE, 'enough')):\n    say(data)"
    )
    made = _says(scene, flood)
    with made.supervisor() as supervisor:
        supervisor.wait_child("one", lambda child: child["phase"] == "running")
        well = supervisor.pid_of("well")
        before = rss(supervisor.pid)
        os.kill(well, signal.SIGKILL)
        supervisor.wait_child("well", lambda child: child["ready"] and child["pid"] != well)
        assert supervisor.child("one")["phase"] == "running", "it floods all the while"
        made.write("enough", "")
        supervisor.wait_child("one", lambda child: (child.get("last_run") or {}).get("finished"), within=60)
        assert rss(supervisor.pid) - before < 20 << 20
        assert supervisor.child("one")["starts"] == 1


@fault(
    "C21",
    "sends what are no frames",
    injected="frames that are no JSON or no message; then random bytes, an impossible length, half a frame and silence",
    expected="few are dropped; what is too much or cannot be read on is replaced as protocol, half a frame as hung",
)
def _(scene: Scene) -> None:
    bad = (
        "for body in (b'[', b'\\xff', b'[]', b'{}', b'{\"t\":\"beat\"}'):\n"
        "    say(len(body).to_bytes(4, 'big') + body)\n"
    )
    with _says(scene, bad).supervisor() as supervisor:
        child = supervisor.wait_child("one", lambda child: (child.get("last_run") or {}).get("finished"), within=60)
        assert (child["state"], child["starts"]) == ("running", 1)
    many = f"for _ in range(100):\n    {bad.replace(chr(10), chr(10) + '    ').rstrip()}\ntime.sleep(600)"
    for body, cause in (
        (many, "protocol"),
        ("say(bytes(range(255, 155, -1)) * 40)\ntime.sleep(600)", "protocol"),
        ("say(b'\\x7f\\xff\\xff\\xff')\ntime.sleep(600)", "protocol"),
        ("say(b'\\0\\0\\x01\\0{\"t\"')\nos.kill(os.getpid(), signal.SIGSTOP)", "hung"),
    ):
        with _says(scene, body).supervisor() as supervisor:
            child = supervisor.wait_child("one", lambda child: child["ready"] and child["starts"] == 2, within=60)
            assert child["last_exit"]["cause"] == cause
            assert supervisor.child("well")["restarts"] == 0


@fault(
    "C22",
    "says what another process of it should say",
    injected="HELLO of another generation, a second READY, a goodbye that is no end",
    expected="ignored: it lives on, and its death later is what the kernel says it is",
)
def _(scene: Scene) -> None:
    body = (
        "say(frame({'t': 'hello', 'generation': 999}))\nsay(frame({'t': 'ready'}))\n"
        "say(frame({'t': 'bye', 'code': 78, 'reason': 'not at all'}))"
    )
    with _says(scene, body).supervisor() as supervisor:
        child = supervisor.wait_child("one", lambda child: (child.get("last_run") or {}).get("finished"), within=60)
        assert (child["state"], child["starts"]) == ("running", 1)
        os.kill(child["pid"], signal.SIGKILL)
        child = supervisor.wait_child("one", lambda child: child["ready"] and child["starts"] == 2, within=60)
        assert (child["last_exit"]["cause"], child["last_exit"]["reason"]) == ("crash", "killed by SIGKILL (not by us)")


@fault(
    "C23",
    "ignores SIGTERM",
    injected="SIG_IGN in a run",
    expected="SIGKILL when the grace period is over; said, and exit code 1 of the supervisor",
)
def _(scene: Scene) -> None:
    with scene.harmful(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ndeaf(lambda: time.sleep(600))"
    ).supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        supervisor.wait_child("one", lambda child: child["phase"] == "running")
        assert supervisor.stop() == 1
        assert f"still there after its grace period: sending SIGKILL to {pid}" in supervisor.stderr
        assert not alive(pid)


@fault(
    "C24",
    "cannot be killed",
    injected="a frozen cgroup stands for state D",
    expected="said with its pid; no second copy; the others go on; a stop waits for it a second longer, exit code 1",
)
def _(scene: Scene) -> None:
    made = scene.harmful("pass")
    with cgroup("freezer") as group, made.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        (group / "cgroup.procs").write_text(str(pid))
        (group / "freezer.state").write_text("FROZEN")
        supervisor.wait_child("one", lambda child: "cannot be killed" in (child["reason"] or ""), within=90)
        assert (supervisor.child("one")["pid"], supervisor.child("one")["starts"]) == (pid, 1)
        assert supervisor.child("well")["restarts"] == 0
        assert supervisor.stop(60) == 1
        assert f"left behind, cannot be killed: one (pid {pid})" in supervisor.stderr
        (group / "freezer.state").write_text("THAWED")
        eventually(lambda: not alive(pid), within=30)


@fault(
    "C25",
    "its code cannot be imported",
    injected="an exception, a syntax error, a module that is missing",
    expected="backoff, or fatal where no retry helps; one line with file and line; the others are not affected",
)
def _(scene: Scene) -> None:
    config = CONFIG
    for name in ("raises", "syntax", "missing"):
        config += ONE.replace("tasks.one", f"tasks.{name}").replace("mine:tick", f"{name}:tick")
    made = scene.written("def tick():\n    note('runs')\n", config)
    made.write("raises.py", "\nraise RuntimeError('not today')\n")
    made.write("syntax.py", "def tick(:\n")
    with made.supervisor() as supervisor:
        assert _reason(supervisor, "raises", "RuntimeError: not today", "raises.py:1") in ("backoff", "starting")
        assert _reason(supervisor, "syntax", "SyntaxError", "syntax.py:1") == "fatal"
        assert _reason(supervisor, "missing", 'no module "missing"') == "fatal"
        assert supervisor.child("one")["restarts"] == supervisor.child("well")["restarts"] == 0


def _reason(supervisor: Supervisor, name: str, *says: str) -> object:
    """Wait until the child's reason says all this; return its state."""
    return supervisor.wait_child(name, lambda child: all(it in (child["reason"] or "") for it in says), 60)["state"]


@fault(
    "C26",
    "a run raises what is no Exception",
    injected="SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError, RecursionError",
    expected="the run has failed, with the error; the process lives",
)
def _(scene: Scene) -> None:
    names = ("SystemExit", "KeyboardInterrupt", "GeneratorExit", "MemoryError", "RecursionError")
    config = HEAD + WELL
    code = ""
    for name in names:
        config += ONE.replace("tasks.one", f"tasks.{name.lower()}").replace("mine:tick", f"mine:{name.lower()}")
        code += f"def {name.lower()}():\n    raise {name}('odd')\n"
    with scene.written(code, config).supervisor() as supervisor:
        for name in names:
            child = supervisor.wait_child(
                name.lower(), lambda child: (child.get("last_run") or {}).get("finished"), within=60
            )
            assert child["last_run"]["state"] == "failed", child
            assert "odd" in child["last_run"]["error"], child
            assert (child["state"], child["restarts"]) == ("running", 0), child


@fault(
    "C27",
    "prints without end, binary, escape sequences, no newline",
    injected="800 KiB at a time for 3 s, 50 times a second",
    expected="the run is not held up; the files keep their size; nothing raw reaches a terminal",
)
def _(scene: Scene) -> None:
    config = CONFIG.replace("watch = false", 'watch = false\nlog_max_bytes = "1MiB"\nlog_keep = 2')
    body = (
        "noise = b'\\x1b[2J\\x1b]0;owned\\x07\\r\\x00\\xff' * (1 << 16)\n"
        "end = time.monotonic() + 3\n"
        "while time.monotonic() < end:\n    os.write(1, noise)\n    time.sleep(0.02)"
    )
    made = scene.harmful(body, config)
    with made.supervisor() as supervisor:
        child = supervisor.wait_child("one", lambda child: (child.get("last_run") or {}).get("finished"), within=90)
        assert child["last_run"]["state"] == "ok"
        assert child["starts"] == 1

        def size() -> int:
            return sum(path.stat().st_size for path in (made.state / "logs").glob("one.log*"))

        eventually(lambda: size() < 8 << 20, within=30)
        for command in (("logs", "one"), ("explain", "one"), ("status",)):
            assert "\x1b" not in str(told(supervisor, *command))
        assert "\x1b" not in supervisor.stderr


@fault(
    "C28",
    "SIGTERM in the middle of a run",
    injected="SIGTERM to the child by hand, and to the supervisor",
    expected="a run that hears it may finish within the grace period; what is cut is recorded as interrupted",
)
def _(scene: Scene) -> None:
    hears = (
        "def tick(ctx):\n    note('runs')\n    while not ctx.should_stop():\n        time.sleep(0.01)\n"
        "    note('heard')\n"
    )
    with scene.written(hears).supervisor() as supervisor:
        child = supervisor.wait_child("one", lambda child: child["phase"] == "running")
        os.kill(child["pid"], signal.SIGTERM)
        supervisor.wait_child("one", lambda child: child["starts"] == 2 and child["phase"] == "running", within=60)
        assert _states(supervisor) == ["ok", "running"]
        assert supervisor.stop() == 0, supervisor.stderr
    made = scene.written("def tick():\n    note('runs')\n    time.sleep(600)\n")
    with made.supervisor() as supervisor:
        supervisor.wait_child("one", lambda child: child["phase"] == "running")
        assert supervisor.stop() == 1, "it had to be killed"
    with made.supervisor() as supervisor:
        supervisor.wait_child("one", lambda child: child["phase"] == "running")
        assert _states(supervisor) == ["interrupted", "running"]


def _states(supervisor: Supervisor) -> list[str]:
    """Return how the runs of `one` ended, the first first."""
    rows = json.loads(supervisor.cli("history", "one", "--json").stdout)
    return [row["state"] for row in sorted(rows, key=lambda row: str(row["slot"]))]
