"""Where the memory of a child goes: forks one as the supervisor does, and prints what each step of its start adds.

    .venv/bin/python benchmarks/memory.py [--maps] [--beats SECONDS]

The numbers are Private_Dirty: pages that the child wrote to, so that it no longer shares them with the parent.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import select
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import supervisor.parent.main  # noqa: F401  # all that the parent has imported when it forks
from supervisor.child import boot
from supervisor.child import main as child_main
from supervisor.child.birth import Birth
from supervisor.child.runtime import Runtime
from supervisor.core.paths import Paths
from supervisor.core.spec import ChildSpec, Plan, Policy, SupervisorSettings, TaskSettings
from supervisor.forked import adopt_orphans
from supervisor.parent.preload import preload
from supervisor.parent.process import Ends, Process, fork, raise_nofile

TASK = "import schedule\n\n\ndef idle():\n    pass\n"
ROOM = 64 * 1024


class Steps:
    """Notes in a page that the parent sees too, so that noting costs the child next to nothing."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, ROOM)
        self._at = 0

    def mark(self, name: str) -> None:
        file = os.open("/proc/self/smaps_rollup", os.O_RDONLY)
        line = f"{private_dirty(os.pread(file, 4096, 0))} {name}\n".encode()
        os.close(file)
        self._shared[self._at : self._at + len(line)] = line
        self._at += len(line)

    def after(self, owner: Any, attribute: str, name: str = "") -> None:
        """Note when this function of the child is over."""
        function: Callable[..., Any] = getattr(owner, attribute)

        def noted(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            finally:
                self.mark(name or attribute)

        setattr(owner, attribute, noted)

    def note(self, text: str) -> None:
        line = f"= {text}\n".encode()
        self._shared[self._at : self._at + len(line)] = line
        self._at += len(line)

    def lines(self) -> list[str]:
        return bytes(self._shared[:]).rstrip(b"\0").decode().splitlines()


def private_dirty(smaps: bytes) -> int:
    """Return KiB."""
    return sum(int(line.split()[1]) for line in smaps.splitlines() if line.startswith(b"Private_Dirty:"))


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        plan = _plan(folder, options.cron)
        adopt_orphans()
        nofile = raise_nofile()
        preload(plan)
        steps = Steps()
        _wrap(steps)
        process = fork("idle", lambda ends: _child(plan, ends, nofile, steps, imports=options.imports))
        try:
            _wait_until_ready(process)
            time.sleep(options.beats)
            _show(steps, process.pid, maps=options.maps)
        finally:
            process.kill()
            os.waitpid(process.pid, 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", action="store_true", help="by mapping too")
    parser.add_argument("--imports", action="store_true", help="what it imported after the fork (its numbers are void)")
    parser.add_argument("--beats", type=float, default=2.5, metavar="SECONDS", help="how long it beats before the end")
    parser.add_argument("--cron", action="store_true", help="a task with a cron expression")
    return parser.parse_args()


def _plan(folder: str, cron: bool) -> Plan:
    Path(folder, "idle_task.py").write_text(TASK)
    paths = Paths(folder + "/state")
    for each in (paths.root, os.path.dirname(paths.log("x")), os.path.dirname(paths.ledger("x"))):
        os.makedirs(each, exist_ok=True)
    settings = TaskSettings(run="idle_task:idle", **({"cron": "0 3 * * *"} if cron else {"every": 3600.0}))  # type: ignore[arg-type]
    spec = ChildSpec(name="idle", group="idle", kind="task", enabled=True, policy=Policy(), settings=settings)
    supervisor = SupervisorSettings(config_file=folder + "/config.toml", project_dir=folder, state_dir=paths.root)
    return Plan(supervisor=supervisor, children=(spec,))


def _wrap(steps: Steps) -> None:
    from supervisor.child.schedule import runner
    from supervisor.child.schedule.ledger import Ledger

    for name in ("reset_signals", "die_with", "adopt_orphans", "close_all_but", "redirect_output"):
        steps.after(boot, name)
    for name in ("boot", "Runtime", "_listen_for_term"):
        steps.after(child_main, name)
    steps.after(child_main.output, "install", "output.install")
    steps.after(child_main.Heartbeat, "__init__", "Heartbeat()")
    steps.after(child_main.Heartbeat, "start", "Heartbeat.start")
    steps.after(Ledger, "__init__", "Ledger()")
    steps.after(Ledger, "close_open", "Ledger.close_open")
    steps.after(Ledger, "prune", "Ledger.prune")
    steps.after(runner, "loaded", "load the task")
    steps.after(runner.Runner, "__init__", "Runner()")
    steps.after(runner.Runner, "_begin")
    steps.after(runner.Runner, "_take")
    steps.after(runner.Runner, "_look_at_the_clock", "first rest")


def _note_imports(steps: Steps) -> None:
    """Apart, because going through all modules writes to as many pages as a whole child does."""
    preloaded = set(sys.modules)
    before = Runtime.ready

    def ready(runtime: Any) -> None:
        steps.note(f"imported after the fork: {' '.join(sorted(set(sys.modules) - preloaded)) or 'nothing'}")
        before(runtime)

    Runtime.ready = ready  # type: ignore[method-assign]


def _child(plan: Plan, ends: Ends, nofile: tuple[int, int], steps: Steps, *, imports: bool = False) -> None:
    steps.mark("fork, multiprocess's own start")
    steps.mark("(measuring itself)")
    if imports:
        _note_imports(steps)
    child_main.main(
        Birth(
            spec=plan.children[0],
            supervisor=plan.supervisor,
            generation=1,
            previous=None,
            parent_pid=os.getppid(),
            messages=ends.messages,
            orders=ends.orders,
            page=ends.page,
            dump=ends.dump,
            console=os.dup(2),
            nofile=nofile,
            extra={"manual": False},
        )
    )


def _wait_until_ready(process: Process) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        select.select([process.messages, process.pidfd], [], [], 1.0)
        if any(frame.get("t") == "ready" for frame in process.read()):
            return
    os.kill(process.pid, signal.SIGKILL)
    raise SystemExit(f"the child did not become ready:\n{process.stacks()}")


def _show(steps: Steps, pid: int, *, maps: bool) -> None:
    previous = 0
    for line in steps.lines():
        first, _, name = line.partition(" ")
        if first == "=":
            print(f"  {name}")
            continue
        print(f"{int(first):6} KiB  {int(first) - previous:+5}  {name}")
        previous = int(first)
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
    now = private_dirty(rollup)
    print(f"{now:6} KiB  {now - previous:+5}  after some beats")
    numbers = {line.split()[0].decode(): int(line.split()[1]) for line in rollup.splitlines()[1:]}
    uss = numbers["Private_Clean:"] + numbers["Private_Dirty:"]
    print(json.dumps({"uss_mib": round(uss / 1024, 2), "pss_mib": round(numbers["Pss:"] / 1024, 2)}))
    if maps:
        _show_maps(pid)


def _show_maps(pid: int) -> None:
    dirty: Counter[str] = Counter()
    place = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        parts = line.split()
        if not parts[0].endswith(":"):
            place = f"{os.path.basename(parts[5]) if len(parts) > 5 else 'anonymous'} {parts[1]}"
        elif parts[0] == "Private_Dirty:":
            dirty[place] += int(parts[1])
    for place, kib in dirty.most_common(15):
        print(f"{kib:6} KiB  {place}")


if __name__ == "__main__":
    main()
