"""The same faults in the same code under this product, Supervisord and circus, in one run; writes docs/peers.md.

    .venv/bin/python benchmarks/battery.py [--watched 30] [--products forkwarden,circus] [--write]

The numbers are those of docs/faults.md. Each product has its fastest sensible settings, as in supervision.py.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import alive, kill_all, wait_for
from products import HERE, VENV, Circus, Forkwarden, Product, Supervisord, peers_venv

TABLE = HERE.parent / "docs" / "peers.md"
TIMEOUT = 3  # seconds of silence, or of one run, that ours allows


class Patient(Product):
    """One child that runs patient.py."""

    reload: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__(1, heavy=False)
        self.environment["BATTERY"] = str(self.folder)

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def births(self) -> list[int]:
        return [int(line.split()[0]) for line in self.lines("births")]

    def ready(self) -> list[tuple[int, float]]:
        return [(int(pid), float(at)) for pid, at in map(str.split, self.lines("births"))]

    def spoil(self) -> None:
        """Break the configuration that it was started with."""
        file = self.folder / self.file
        file.write_text(file.read_text() + "\nthis is [no configuration\n")

    file = "conf"


class OurPatient(Patient, Forkwarden):
    name = "forkwarden"
    file = "config.toml"

    def configure(self) -> None:
        shutil.copy(HERE / "patient.py", self.folder / "patient.py")
        (self.folder / "mine.py").write_text(
            "import os\nimport patient\n\n\ndef tick():\n    patient.act()\n"
            "    if os.path.exists(os.path.join(patient.HERE, 'crashing')):\n"
            "        patient.time.sleep(1.2)\n        patient.crash()\n"
        )
        (self.folder / "config.toml").write_text(
            f'[supervisor]\nwatch = false\nheartbeat = {{ timeout = "{TIMEOUT}s" }}\n'
            f'[tasks.one]\nrun = "mine:tick"\nevery = "100ms"\ntimeout = "{TIMEOUT}s"\nkill_after = "0s"\n'
        )

    def ready(self) -> list[tuple[int, float]]:
        return Patient.ready(self)


class SupervisordPatient(Patient, Supervisord):
    name = "Supervisord"
    reload = (str(VENV / "bin" / "supervisorctl"), "-c", "conf", "update")

    def configure(self) -> None:
        Supervisord.configure(self)
        _point(self)


class CircusPatient(Patient, Circus):
    name = "circus"

    def configure(self) -> None:
        Circus.configure(self)
        _point(self)
        self.reload = (str(VENV / "bin" / "circusctl"), "--endpoint", f"tcp://127.0.0.1:{self.port}", "reloadconfig")


def _point(product: Product) -> None:
    conf = product.folder / "conf"
    conf.write_text(conf.read_text().replace("idle_script.py", "patient.py"))


PATIENTS: tuple[type[Patient], ...] = (OurPatient, SupervisordPatient, CircusPatient)


@contextmanager
def _running(kind: type[Patient]) -> Iterator[Patient]:
    patient = kind()
    try:
        patient.start()
        if not wait_for(lambda: len(patient.lines("acts")) > 2, 30.0, every=0.01):
            raise SystemExit(f"{kind.name}: its child does nothing\n{patient.tail()}")
        yield patient
    finally:
        patient.close()
        kill_all(int(pid) for pid in (*patient.births(), *patient.lines("left")) if alive(int(pid)))


def _replaced(patient: Patient, watched: float, harm: Callable[[int], None]) -> str:
    old, began = patient.births()[-1], time.monotonic()
    harm(old)

    def works() -> bool:
        acts = patient.lines("acts")
        return bool(acts) and int(acts[-1]) != old

    if not wait_for(works, watched, every=0.01):
        return f"not within {watched:.0f} s"
    return f"works again after {time.monotonic() - began:.1f} s"


def _does(what: str) -> Callable[[Patient, float], str]:
    def run(patient: Patient, watched: float) -> str:
        return _replaced(patient, watched, lambda old: _do(patient, what))

    return run


def _signalled(number: int) -> Callable[[Patient, float], str]:
    def run(patient: Patient, watched: float) -> str:
        return _replaced(patient, watched, lambda old: os.kill(old, number))

    return run


def _do(patient: Patient, what: str) -> None:
    new = patient.folder / "do.new"
    new.write_text(what)
    new.replace(patient.folder / "do")


def _slow_crash(patient: Patient, watched: float) -> str:
    """Whether restarts slow down, when each life is a little longer than "started"."""
    (patient.folder / "crashing").touch()
    time.sleep(watched)
    at = [float(line.split()[1]) for line in patient.lines("births")]
    gaps = [later - earlier for earlier, later in itertools.pairwise(at[1:])]
    return f"{len(gaps)} restarts in {watched:.0f} s, the last after {gaps[-1] - 1.3:.1f} s" if gaps else "no restart"


def _leaves(what: str) -> Callable[[Patient, float], str]:
    def run(patient: Patient, watched: float) -> str:
        said = _replaced(patient, watched, lambda old: _do(patient, what))
        wait_for(lambda: not any(alive(int(pid)) for pid in patient.lines("left")), 2.0, every=0.01)
        left = sum(alive(int(pid)) for pid in patient.lines("left"))
        return f"{said}; {left or 'nothing'} left of the old one"

    return run


def _deaf_to_term(patient: Patient, watched: float) -> str:
    _do(patient, "ignore_term")
    time.sleep(0.5)
    return f"stopped after {patient.stop(60):.1f} s (its grace period is 10 s)"


def _parent_killed(patient: Patient, watched: float) -> str:
    everyone = [pid for pid in patient.everyone() if pid != patient.pid]
    os.kill(patient.pid, signal.SIGKILL)
    wait_for(lambda: not any(map(alive, everyone)), 5.0)
    left = sum(map(alive, everyone))
    return "nothing is left" if not left else f"{left} of {len(everyone)} processes live on"


def _bad_reload(patient: Patient, watched: float) -> str:
    old = patient.births()[-1]
    patient.spoil()
    command = patient.reload or (str(Path(sys.executable).parent / "supervisor"), "reload")
    done = subprocess.run(
        command, cwd=patient.folder, env=patient.environment, capture_output=True, text=True, check=False
    )
    time.sleep(2)
    lives = "goes on" if alive(old) and alive(patient.pid) else "the child or the supervisor is gone"
    said = (done.stdout + done.stderr).strip().splitlines()
    place = (
        "names the line" if any(":" in line and any(c.isdigit() for c in line) for line in said) else "names no line"
    )
    return f"{lives}; code {done.returncode}, {place}"


def _second(patient: Patient, watched: float) -> str:
    second = subprocess.Popen(
        patient.command(), cwd=patient.folder, env=patient.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        code = second.wait(6)
        copies = sum(alive(pid) for pid in set(patient.births()))
        return f"refused, code {code}; {copies} of the child"
    except subprocess.TimeoutExpired:
        return f"both run; {sum(alive(pid) for pid in set(patient.births()))} of the child"
    finally:
        second.kill()
        second.communicate()


BATTERY: dict[str, tuple[str, Callable[[Patient, float], str]]] = {
    "C1": ("exits with 0", _does("exit_0")),
    "C3": ("lives 1.3 s, for ever", _slow_crash),
    "C4": ("SIGKILL", _signalled(signal.SIGKILL)),
    "C6": ("frozen", _signalled(signal.SIGSTOP)),
    "C8": ("loops for ever", _does("spin")),
    "C9": ("holds the interpreter", _does("hold")),
    "C11": ("deadlock", _does("deadlock")),
    "C16": ("leaves a process", _leaves("children")),
    "C17": ("leaves a daemon", _leaves("daemon")),
    "C23": ("ignores SIGTERM", _deaf_to_term),
    "P1": ("kill -9 of the supervisor", _parent_killed),
    "P8": ("reload of a broken configuration", _bad_reload),
    "P20": ("a second one of the same configuration", _second),
}


def main() -> int:
    options = _options()
    peers_venv()
    kinds = [kind for kind in PATIENTS if kind.name.lower() in options.products.lower()]
    found: dict[str, dict[str, str]] = {}
    for id, (what, run) in BATTERY.items():
        found[id] = {}
        for kind in kinds:
            with _running(kind) as patient:
                found[id][kind.name] = run(patient, options.watched)
            print(f"{id:4} {what:40} {kind.name:12} {found[id][kind.name]}", flush=True)
    if options.write:
        TABLE.write_text(_table([kind.name for kind in kinds], found, options.watched))
    return 0


def _table(names: list[str], found: dict[str, dict[str, str]], watched: float) -> str:
    head = f"""# The same faults under other supervisors

Written by `benchmarks/battery.py --write`: the same code harmed in the same way under each, and watched
for {watched:.0f} s. Ours allows {TIMEOUT} s of silence, and {TIMEOUT} s for a run; Supervisord and circus do not look.

| | fault | {" | ".join(names)} |
|---|---|{"---|" * len(names)}
"""
    rows = []
    for id, cells in found.items():
        rows.append(f"| {id} | {BATTERY[id][0]} | {' | '.join(cells[name] for name in names)} |\n")
    return head + "".join(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--watched", type=float, default=30.0, help="seconds until a fault counts as not seen")
    parser.add_argument("--products", default=",".join(kind.name for kind in PATIENTS))
    parser.add_argument("--write", action="store_true", help="write docs/peers.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
