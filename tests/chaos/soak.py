"""The command: `python tests/chaos/soak.py --minutes M --seed S`: every harm at random, every promise watched.

A real `supervisor start` with tasks of several kinds and three consumer processes. In chapters: a minute of faults,
then none; everything that is wanted runs again, and the ledgers, the records and the supervisor's size are judged.
Exit code 1 and the seed when a promise was broken. The folder stays then, and can be read.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(_ROOT), str(_ROOT / "tests")) if path not in sys.path]

from chaos import judge, scene  # noqa: E402
from chaos.chapters import Soak  # noqa: E402
from chaos.flow import Flow  # noqa: E402
from chaos.shared import Breach, Life, command, figures, life, say  # noqa: E402

DISK = "48m"


@contextmanager
def state_disk(folder: Path) -> Iterator[bool]:
    """A small disk of its own for the state folder, when that is allowed here."""
    state = folder / ".supervisor"
    state.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "tmpfs", str(state)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(state)], capture_output=True, check=False)


@contextmanager
def watched(living: Life, slack: float) -> Iterator[None]:
    folder = living.project.folder
    program = [sys.executable, str(Path(__file__).with_name("watcher.py")), str(folder), living.tag, str(slack / 10)]
    with (folder / "watcher.stderr").open("wb") as errors:
        process = subprocess.Popen(program, stderr=errors, start_new_session=True)
    try:
        yield
    finally:
        (folder / "over").touch()
        try:
            code = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    if code:
        raise Breach(f"the watcher ended with {code}: {(folder / 'watcher.stderr').read_text()[-2000:]}")


def soak(minutes: float, seed: int, slack: float, folder: Path, rate: float) -> tuple[Soak, str]:
    flow = Flow(rate)
    try:
        with state_disk(folder) as disk, life(scene.config(flow.bootstrap, flow.topic), "", folder) as living:
            for name, code in scene.CODE.items():
                living.project.write(f"{name}.py", scene.NOTE + code)
            say(f"seed {seed}, {flow.kind}, state folder on {'a disk of its own' if disk else 'no disk of its own'}")
            try:
                with watched(living, slack):
                    made = Soak(living, flow, seed, slack, disk=disk)
                    made.run(minutes)
                    _end(made)
            except BaseException:
                _keep(folder)
                raise
            return made, flow.kind
    finally:
        flow.close()


def _end(made: Soak) -> None:
    """A last SIGTERM, after which nothing is left."""
    made.nemesis.moments.add("term parent")
    code = made.living.supervisor.stop(60)
    if made.living.left() or code not in (0, 1):
        raise Breach(f"the last SIGTERM: code {code}, left: {made.living.left()}")


def _keep(folder: Path) -> None:
    """The state folder is unmounted on the way out: a copy stays for whoever looks for the cause."""
    shutil.rmtree(folder.with_name(folder.name + "-breach"), ignore_errors=True)
    with suppress(shutil.Error):  # the tree still lives: files come and go
        shutil.copytree(folder, folder.with_name(folder.name + "-breach"), ignore=_odd)
    say(f"what there was is in {folder.with_name(folder.name + '-breach')}")


def _odd(where: str, names: list[str]) -> list[str]:
    """Sockets and named pipes cannot be copied; the ballast need not."""
    paths = {name: Path(where) / name for name in names}
    return [name for name, path in paths.items() if name == "ballast" or not (path.is_file() or path.is_dir())]


def report(made: Soak, broker: str) -> list[tuple[str, object]]:
    seen = json.loads((made.folder / "watched").read_text())
    faults: dict[str, int] = {}
    for name, count in made.nemesis.done.items():
        head = name.partition(":")[0]
        faults[head] = faults.get(head, 0) + count
    stored = {n: judge.stored(judge.whole_lines(made.folder / f"{n}.stored")) for n in scene.CONSUMERS}
    starts = sum(len(judge.whole_lines(made.folder / f"{name}.started")) for name in scene.EVERY)
    rss = [size.rss for sizes in made.sizes.values() for size in sizes]
    return [
        ("faults injected", sum(faults.values())),
        *((f"  {name}", count) for name, count in sorted(faults.items())),
        ("invariants held", ""),
        ("  at most one process a child", f"{sum(seen['births'].values())} births, {seen['looks']} looks, locks"),
        ("  no orphan, no zombie over 1 s", f"{len(made.sizes)} supervisors at the chapters' ends"),
        ("  each slot once, one record each", f"{starts} runs"),
        *(
            (
                f"  nothing lost ({name}, {broker})",
                f"{made.flow.count} sent, {each.records} handled, {made.letters} letters",
            )
            for name, each in stored.items()
        ),
        ("  backoff of what never lives", f"{seen['births'].get(scene.NEVER_WELL, 0)} births"),
        ("  all wanted run again", f"{made.chapters} chapters; {figures(made.healed, 1, 's')}"),
        ("  the supervisor's size", f"1 thread; {min(rss, default=0):.1f} to {max(rss, default=0):.1f} MiB"),
        ("  status answers", f"{len(seen['answers'])} times; {figures(seen['answers'])}"),
    ]


def run(arguments: argparse.Namespace) -> Iterable[tuple[str, object]]:
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what it started ends with it
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        made, broker = soak(arguments.minutes, seed, arguments.slack, folder, arguments.rate)
        return report(made, broker)
    except AssertionError as breach:
        raise Breach(f"seed {seed}: {breach}") from None
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[2])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, help="default: one by chance, printed")
    parser.add_argument("--slack", type=float, default=0.0, help="seconds that a loaded machine may take more")
    parser.add_argument("--rate", type=float, default=40, help="records a second")
    parser.add_argument("--folder", type=Path, help="of the project; default: a temporary one")
    return command(run, parser)


if __name__ == "__main__":
    sys.exit(main())
