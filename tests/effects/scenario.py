"""RUNS IN THE COMMANDS of tests/effects, and in pytest: a short life of a real supervisor, one effect of which fails.

Start, ready, a child killed, a toggle off and on, a reload, a status, a stop. Whatever fails in between: either every
promise is kept, or the start is refused with a reason, or the supervisor ends with 70 and nothing of it lives on.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.shared import Breach, Life, life
from support.eventually import eventually

WITHIN = 40.0  # seconds, each: a loaded machine is slow
PLANT = Path(__file__).with_name("plant")
ROOT = Path(__file__).resolve().parents[2]
_READY = re.compile(r"all \d+ ready in ")
_SOCKET = re.compile(r"socket (\S+)/ctl\.sock")
CONFIG = """
[supervisor]
grace_period = "3s"
backoff = {{ base = "50ms", max = "400ms", jitter = 0.0 }}
watch = false

[tasks.one]
run = "one:tick"
every = "1h"
run_on_start = true

[tasks.two]
run = "two:tick"
every = "{every}"
run_on_start = true
"""
CODE = """
import fcntl
import os


def tick():
    held = os.open(__file__ + ".lock", os.O_RDWR | os.O_CREAT)  # as long as the process lives
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with open(os.path.join(os.path.dirname(__file__), "twice"), "a") as file:
            file.write(__name__ + "\\n")
"""


class _Ended(Exception):
    """The supervisor ended before it was told to."""


@dataclass(frozen=True, slots=True)
class Lived:
    """What came of it: "kept", "refused" or "70"; and the effects it had, in their order."""

    end: str
    effects: tuple[str, ...]

    def had(self, effect: str) -> bool:
        return effect in self.effects


def live(effect: str) -> Lived:
    """Live with that effect failing ("": none). Raises AssertionError when a promise is broken."""
    folder = Path(tempfile.mkdtemp(prefix="effects-"))
    try:
        return _live(folder, effect)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _live(folder: Path, effect: str) -> Lived:
    log, notify = folder / "effects", folder / "notify"
    elsewhere = str(folder / "home")  # where the state folder is made when that beside config.toml cannot be
    seam = {"XDG_STATE_HOME": elsewhere, "PYTHONPATH": f"{PLANT}{os.pathsep}{ROOT}", "FORKWARDEN_EFFECT": effect}
    seam |= {"FORKWARDEN_EFFECT_LOG": str(log), "NOTIFY_SOCKET": str(notify)}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(notify))
        with life(CONFIG.format(every="1h"), "", folder, **seam) as living:
            for name in ("one", "two"):
                living.project.write(f"{name}.py", CODE)
            living.supervisor.start()
            try:
                _through(living)
                end = "kept"
            except _Ended:
                end = _judge_end(living)
            _judge(living)
    return Lived(end, tuple(line.partition("\t")[0] for line in log.read_text().splitlines()))


# --- the life -------------------------------------------------------------------------------------------------------


def _through(living: Life) -> None:
    before = _ready(living, "one")["pid"]
    _ready(living, "two")
    living.signal([before], signal.SIGKILL)
    _child(living, "one", lambda child: child["ready"] and child["pid"] != before, "one is replaced")
    _asked(living, "/v1/children/two/disable")
    _child(living, "two", lambda child: child["state"] == "stopped" and not child["enabled"], "two is off")
    _asked(living, "/v1/children/two/enable")
    _ready(living, "two")
    living.project.configure(CONFIG.format(every="2h"))
    _asked(living, "/v1/reload")
    _child(living, "two", lambda child: child["ready"] and child["schedule"] == "every 2h", "the reload is applied")
    _ready(living, "one")
    _stop(living)


def _ready(living: Life, name: str) -> dict[str, Any]:
    return _child(living, name, lambda child: child["ready"], f"{name} is ready")


def _child(living: Life, name: str, condition: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        code, body = living.ask("GET", "/v1/status")
        child = next((each for each in body["children"] if each["name"] == name), None) if code == 200 else None
        return child if child and condition(child) else None

    return _until(living, found, what) or {}


def _asked(living: Life, path: str) -> None:
    """As a person would: again, until it went well. A reload that changes nothing any more went well, too."""

    def done() -> bool:
        code, body = living.ask("POST", path, {})
        return bool(code == 200 and body.get("applied", True))

    _until(living, done, path)


def _until(living: Life, condition: Callable[[], Any], what: str) -> Any:
    def check() -> Any:
        if found := _SOCKET.search(living.supervisor.stderr):
            living.supervisor.state = Path(found[1])
        value = condition()
        if not value and not living.supervisor.running:
            raise _Ended
        return value

    try:
        return eventually(check, within=WITHIN, every=0.02, what=what)
    except AssertionError as error:
        raise Breach(f"{error}\n{_told(living)}") from None


def _stop(living: Life) -> None:
    had_to_kill = "SIGKILL" in living.supervisor.stderr
    code = living.supervisor.stop(WITHIN)
    if code == 70:
        raise _Ended
    if code and not (code == 1 and (had_to_kill or "SIGKILL" in living.supervisor.stderr)):
        raise Breach(f"the stop ended with {code}\n{_told(living)}")


# --- the judgement --------------------------------------------------------------------------------------------------


def _judge_end(living: Life) -> str:
    """It ended by itself: refused at the start, with a reason; or by a bug that it knows as one. Then as new."""
    code, said = living.supervisor.wait(), living.supervisor.stderr
    if code != 70 and not (code in (1, 2) and "error: " in said and not _READY.search(said)):
        raise Breach(f"it ended with {code}\n{_told(living)}")
    living.wait_gone(20.0)
    _judge(living)
    living.supervisor.environment["PYTHONPATH"] = str(ROOT)  # nothing fails in it
    with open(living.project.folder / "earlier", "a") as earlier:
        earlier.write(said)
    living.supervisor.start()
    for name in ("one", "two"):
        _until(living, lambda name=name: _up(living, name), f"the next start is as any other: {name}")  # type: ignore[misc]
    if (again := living.supervisor.stop(WITHIN)) != 0:
        raise Breach(f"the next life ended with {again}\n{_told(living)}")
    return "70" if code == 70 else "refused"


def _up(living: Life, name: str) -> bool:
    code, body = living.ask("GET", "/v1/status")
    if code != 200:
        return False
    child = next(each for each in body["children"] if each["name"] == name)
    return bool(child["ready"] or not child["wanted"])  # a toggle of the life before may hold


def _judge(living: Life) -> None:
    said = living.supervisor.stderr
    if "Traceback" in said:
        raise Breach(f"a traceback at the user\n{said}")
    if twice := living.project.lines("twice"):
        raise Breach(f"two processes of {twice} at once\n{_told(living)}")
    if not living.supervisor.running:
        living.wait_gone(20.0)


def _told(living: Life) -> str:
    folder: Path = living.project.folder
    files = [folder / "earlier", living.supervisor.state / "logs" / "supervisor.log"]
    logs = "".join(file.read_text(errors="replace")[-6000:] for file in files if os.path.exists(file))
    return f"{living.supervisor.stderr[-6000:]}\n{logs}"
