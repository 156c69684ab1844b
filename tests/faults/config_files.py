"""X: what can be wrong with config.toml. Nothing is started then, and every line says where and what to do."""

from __future__ import annotations

import os
import subprocess
import sys

from faults.catalogue import fault
from faults.scene import CONFIG, Scene
from support.eventually import eventually
from support.project import Project

TASK = '[tasks.one]\nrun = "mine:tick"\nevery = "1h"\n'
CONSUMER = (
    '[consumers.c]\nhandler = "mine:store"\ntopics = ["t"]\ngroup_id = "g"\nauto_offset_reset = "earliest"\n'
    '[kafka]\nbootstrap_servers = "embedded"\n'
)
ONE_LINE = "exit code 2, nothing started; file, line, key, what was found, what was expected"


def _made(scene: Scene, text: str | bytes) -> Project:
    made = scene.project(config="", code="def tick():\n    pass\ndef two(a, b):\n    pass\nnumber = 5\n")
    made.config.write_bytes(text if isinstance(text, bytes) else text.encode())
    return made


def _refused(made: Project, *says: str, verb: str = "start", where: str = "config.toml") -> None:
    done = made.run(verb)
    assert done.returncode == 2, (done.returncode, done.stderr)
    for each in (where, *says):
        assert each in done.stderr, (each, done.stderr)
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    assert not (made.state / "lock").exists(), "nothing was started"


def _all_refused(scene: Scene, *cases: tuple[str | bytes, str], verb: str = "start") -> None:
    for text, says in cases:
        _refused(_made(scene, text), says, verb=verb)


@fault(
    "X1", "no file", injected="an empty folder", expected="exit code 2; says where it looked and how to name another"
)
def _(scene: Scene) -> None:
    made = _made(scene, "")
    made.config.unlink()
    _refused(made, "expected a file, found nothing", "--config")


@fault("X2", "a folder in its place", injected="mkdir config.toml", expected=ONE_LINE)
def _(scene: Scene) -> None:
    made = _made(scene, "")
    made.config.unlink()
    made.config.mkdir()
    _refused(made, "config.toml: expected a file, found a folder")


@fault("X3", "a file that may not be read", injected="mode 000, without root's right to read all", expected=ONE_LINE)
def _(scene: Scene) -> None:
    made = _made(scene, TASK)
    made.config.chmod(0)
    rights = [] if os.geteuid() else ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    command = [*rights, sys.executable, "-m", "supervisor", "start"]
    done = subprocess.run(command, cwd=made.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "expected a file to read, found Permission denied" in done.stderr


@fault("X4", "an empty file", injected="0 bytes", expected="exit code 2: there is nothing to run, and what to write")
def _(scene: Scene) -> None:
    made = _made(scene, "")
    done = made.run("start")
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr


@fault(
    "X5", "not UTF-8", injected="UTF-16, Latin-1, a byte order mark", expected=ONE_LINE + "; a mark alone is no harm"
)
def _(scene: Scene) -> None:
    _all_refused(scene, (TASK.encode("utf-16"), "UTF-8"), (b"# caf\xe9\n" + TASK.encode(), "UTF-8"))


@fault("X6", "a syntax error", injected="a bracket that is not closed", expected=ONE_LINE)
def _(scene: Scene) -> None:
    _refused(_made(scene, TASK + "[tasks.two\n"), where="config.toml:4")


@fault("X7", "a key or table twice", injected="twice enabled, twice [tasks.one]", expected=ONE_LINE)
def _(scene: Scene) -> None:
    _all_refused(scene, (TASK + "enabled = true\nenabled = false\n", "config.toml:5"), (TASK + TASK, "config.toml:4"))


@fault("X8", "nested without end", injected="100,000 brackets", expected="exit code 2, one line")
def _(scene: Scene) -> None:
    _refused(_made(scene, "a = " + "[" * 100_000))


@fault("X9", "a number of 5,000 digits", injected="as a limit", expected=ONE_LINE)
def _(scene: Scene) -> None:
    _refused(_made(scene, TASK + "retries = " + "9" * 5000 + "\n"))


@fault("X10", "a file too large", injected="more than 1 MiB", expected="exit code 2, one line")
def _(scene: Scene) -> None:
    _refused(_made(scene, TASK + "# x\n" * 400_000))


@fault("X11", "a key mistyped", injected="enbled = true", expected=ONE_LINE + "; did you mean")
def _(scene: Scene) -> None:
    _refused(
        _made(scene, TASK + "enbled = true\n"), "tasks.one.enbled", 'did you mean "enabled"', where="config.toml:4"
    )


@fault("X12", "an unknown table", injected="[task.one]", expected=ONE_LINE + "; did you mean")
def _(scene: Scene) -> None:
    _refused(_made(scene, TASK.replace("tasks", "task")), 'did you mean "tasks"')


@fault("X13", "a toggle that is a text", injected='enabled = "false"', expected=ONE_LINE)
def _(scene: Scene) -> None:
    _refused(_made(scene, TASK + 'enabled = "false"\n'), "tasks.one.enabled", "true or false", where="config.toml:4")


@fault("X14", "an interval that is none", injected="0, negative, nan, inf, 1e-9, ten thousand years", expected=ONE_LINE)
def _(scene: Scene) -> None:
    values = ('"0s"', '"-5s"', "nan", "inf", "1e-9", '"87600000h"', '""', '"5 parsecs"')
    _all_refused(scene, *((TASK.replace('"1h"', value), "tasks.one.every") for value in values))


@fault("X15", "an interval that is a date", injected="every = 2026-01-01", expected=ONE_LINE)
def _(scene: Scene) -> None:
    _refused(_made(scene, TASK.replace('"1h"', "2026-01-01")), "tasks.one.every", where="config.toml:3")


@fault(
    "X16", "a name that is none", injected="empty, ../x, 300 characters, ESC, capitals", expected=ONE_LINE + ", escaped"
)
def _(scene: Scene) -> None:
    for name in ('""', '"../x"', "x" * 300, '"a\\u001b[2J"', "One"):
        _refused(_made(scene, TASK.replace("one", name, 1)))


@fault(
    "X17",
    "a target that cannot be used",
    injected="no module, no attribute, not callable, wrong parameters; by `check`",
    expected=ONE_LINE + "; `start` starts the others and says it of this child",
)
def _(scene: Scene) -> None:
    _all_refused(
        scene,
        (TASK.replace("mine", "mein"), 'did you mean "mine"'),
        (TASK.replace(":tick", ":tock"), 'did you mean "tick"'),
        (TASK.replace(":tick", ":number"), "expected a function"),
        (TASK.replace(":tick", ":two"), "a"),
        verb="check",
    )


@fault(
    "X18",
    "keys that contradict each other",
    injected="heartbeat interval over its timeout, a grace period below zero, a cap below its base",
    expected=ONE_LINE,
)
def _(scene: Scene) -> None:
    for line, key in (
        ('heartbeat = { interval = "30s", timeout = "3s" }', "heartbeat"),
        ('grace_period = "-1s"', "grace_period"),
        ('backoff = { base = "40s", max = "30s" }', "backoff"),
    ):
        _refused(_made(scene, f"[supervisor]\n{line}\n{TASK}"), f"supervisor.{key}", where="config.toml:2")


@fault(
    "X19",
    "Kafka settings that cannot be",
    injected="no topics, no broker, an unknown property, enable.auto.commit",
    expected=ONE_LINE + "; a dangerous property with the promise that it would break",
)
def _(scene: Scene) -> None:
    _all_refused(
        scene,
        (CONSUMER.replace('["t"]', "[]"), "consumers.c.topics"),
        (CONSUMER.replace('"embedded"', '"host:notaport"'), "kafka.bootstrap_servers"),
        (CONSUMER + 'properties = { "no.such.property" = 1 }\n', "no.such.property"),
        (CONSUMER + 'properties = { "enable.auto.commit" = true }\n', "enable.auto.commit"),
    )


@fault(
    "X20",
    "replaced while it is read",
    injected="half a file, and then the whole, under a running supervisor that watches it",
    expected="read once: the half is refused or applied as it stands, the old one stays in force; the whole is applied",
)
def _(scene: Scene) -> None:
    made = scene.written("def tick():\n    note('runs')\n", CONFIG.replace("watch = false", "watch = true"))
    with made.supervisor() as supervisor:
        pid = supervisor.pid_of("one")
        whole = made.config.read_text() + TASK.replace("one", "two")
        made.config.write_text(whole[: whole.index('every = "1h"\n', whole.index("[tasks.two]")) + 6])
        eventually(lambda: supervisor.status()["supervisor"]["config"]["problems"], within=30)
        assert supervisor.pid_of("one") == pid
        made.config.write_text(whole)
        eventually(lambda: "two" in {child["name"] for child in supervisor.status()["children"]}, within=30)
        assert not supervisor.status()["supervisor"]["config"]["problems"]
        assert supervisor.pid_of("one") == pid
