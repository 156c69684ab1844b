"""Whatever children, records, files and arguments say: on a terminal no command writes it raw, or a line it forged."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from supervisor.cli.group import GROUPS
from support.eventually import eventually
from support.kafka import Kafka, read
from support.project import FAST, NOTE, Project
from support.supervisor_process import Supervisor
from support.terminal import on_terminal, raw

EVIL = "\x1b[2J\x1b]0;owned\x07\r\nFORGED \u202e\u2066\u200f\x9b31m\u2028\x7f end"
CONFIG = (
    FAST.replace('grace_period = "2s"', 'grace_period = "9s"')
    + """
[kafka]
bootstrap_servers = "embedded"

[tasks.talks]
run = "mine:talks"
every = "1h"
run_on_start = true

[tasks.fails]
run = "mine:fails"
every = "1h"
run_on_start = true

[tasks.dies]
run = "mine:dies"
every = "1h"
run_on_start = true

[tasks.broken]
run = "worse:task"
every = "1h"

[tasks.quiet]
run = "mine:quiet"
every = "1h"
args = { text = "\\u001b[2J\\r\\nFORGED \\u202e\\u009b" }

[consumers.c]
handler = "mine:handle"
topics = ["t"]
group_id = "g"
auto_offset_reset = "earliest"
"""
)
CODE = (
    NOTE
    + f"""
import logging
import threading

EVIL = {EVIL!r}
exec(compile("def wait():\\n    time.sleep(600)", EVIL, "exec"))


def talks():
    threading.Thread(target=wait, name=EVIL, daemon=True).start()
    print(EVIL, flush=True)
    os.write(1, b"\\xff\\x00" + EVIL.encode())
    logging.getLogger(EVIL).error(EVIL, extra={{"reason": EVIL}})
    note("talked")
    return EVIL


def fails():
    raise RuntimeError(EVIL)


def dies():
    first = not os.path.exists(os.path.join(HERE, "died"))
    note("died")
    if first:
        logging.getLogger().warning(EVIL)
        os.kill(os.getpid(), signal.SIGKILL)


def quiet(text):
    pass


def handle(record):
    raise RuntimeError(EVIL)
"""
)
WORSE = f"raise RuntimeError({EVIL!r})\n"
NAMED = {"logs", "explain", "report", "events", "stack", "history", "schedule", "enable", "disable", "run", "status"}
NAMED |= {"restart", "backfill", "chaos"}
COMMANDS: list[tuple[str, ...]] = [
    ("status",),
    ("status", "--json"),
    ("logs",),
    ("logs", "--json"),
    *(("explain", name) for name in ("talks", "fails", "dies", "broken", "quiet", "c")),
    ("explain", "broken", "--json"),
    ("report", "dies"),
    ("report", "broken"),
    ("report", "dies", "--json"),
    ("events", "-n", "1000"),
    ("events", "--json"),
    ("stack", "talks"),
    ("history", "talks"),
    ("history", "fails"),
    ("history", "fails", "--json"),
    ("schedule",),
    ("check",),
    ("config", "show"),
    ("config", "schema"),
    ("doctor",),
    ("unit",),
    ("completion", "bash"),
    ("disable", "quiet", "--note", EVIL),
    ("status",),
    ("explain", "quiet"),
    ("enable", "quiet", "--note", EVIL),
    ("run", "fails", "--wait"),
    ("run", "talks", "--wait"),
    ("backfill", "fails"),
    ("restart", "quiet"),
    ("chaos", "quiet"),
    ("kafka", "lag"),
    ("kafka", "lag", EVIL),
    ("kafka", "pause", EVIL),
    ("kafka", EVIL),
    ("kafka", "tail", "t"),
    ("kafka", "reset-offsets", "c", "--to", EVIL),
    *(("kafka", "dlq", action, "c") for action in ("ls", "show", "replay")),
    ("kafka", "dlq", "ls", "c", "--where", EVIL),
    ("kafka", "tail", EVIL),
    ("kafka", "produce", EVIL, EVIL, "--key", EVIL, "--header", EVIL),
    ("add", "task", EVIL),
    ("init", EVIL),
    *((verb, EVIL) for verb in sorted(NAMED)),
]


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, ...], str]]:
    """What each command wrote on a terminal, and `start` until its end."""
    made = Project(tmp_path_factory.mktemp("evil"), CONFIG, CODE)
    made.write("worse.py", WORSE)
    said: dict[tuple[str, ...], str] = {}
    master, slave = pty.openpty()
    supervisor = Supervisor(made.config)
    command = [sys.executable, "-m", "supervisor", "start", "--config", str(made.config)]
    env = {**os.environ, "HARMLESS": EVIL}
    supervisor._process = subprocess.Popen(
        command, cwd=made.folder, env=env, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    os.set_blocking(master, False)
    started: list[bytes] = []
    (made.folder / "supervisor-0.stderr").touch()
    try:
        _until_all_was_said(made, supervisor, master, started)
        for arguments in COMMANDS:
            said[arguments] = on_terminal(made.folder, *arguments, COLUMNS="200")[1]
            _drain(master, started)
        made.configure(CONFIG.replace("FORGED", "FORGED again") + "\n[tasks.new]\nrun = 'mine:quiet'\nevery = '2h'\n")
        said[("reload",)] = on_terminal(made.folder, "reload")[1]
        made.config.write_text(CONFIG + '\n"\\u001b[31m\\u202e" = 5 # \u202e\n')
        said[("reload", "broken")] = on_terminal(made.folder, "reload")[1]
        said[("check", "broken")] = on_terminal(made.folder, "check")[1]
        said[("stop",)] = on_terminal(made.folder, "stop")[1]
        eventually(lambda: _drain(master, started) or not supervisor.running, within=30)
        _drain(master, started)
        said[("start",)] = b"".join(started).decode()
        yield said
    finally:
        supervisor.clean()
        os.close(master)


def _until_all_was_said(made: Project, supervisor: Supervisor, master: int, started: list[bytes]) -> None:
    def reached() -> bool:
        _drain(master, started)
        children = {child["name"]: child for child in supervisor.status()["children"]}
        runs = [children[name].get("last_run") for name in ("talks", "fails")]
        rested = all(run and run.get("finished") for run in runs) and children["broken"]["state"] == "backoff"
        return bool(rested and children["dies"]["starts"] == 2 and children["dies"]["ready"] and children["c"]["ready"])

    eventually(supervisor._alive(reached), within=60)
    broker = read(str(made.state / "broker.json"))
    assert broker
    Kafka(broker.bootstrap_servers, embedded=True, create=lambda _: "t").produce("t", [EVIL], key=EVIL.encode())
    log = made.state / "logs" / "c.log"
    eventually(lambda: _drain(master, started) or "RuntimeError" in log.read_text(), within=60)


def _drain(master: int, into: list[bytes]) -> None:
    try:
        while piece := os.read(master, 65536):
            into.append(piece)
    except OSError:
        pass  # nothing more now, or closed


def test_no_command_is_forgotten() -> None:
    verbs = {verb for group in GROUPS.values() for verb in group}
    assert verbs == {arguments[0] for arguments in COMMANDS} | {"reload", "stop", "start"}


@pytest.mark.parametrize(
    "arguments",
    [*COMMANDS, ("reload",), ("reload", "broken"), ("check", "broken"), ("stop",), ("start",)],
    ids=lambda arguments: " ".join(arguments).replace(EVIL, "EVIL"),
)
def test_on_a_terminal_nothing_is_raw(heard: dict[tuple[str, ...], str], arguments: tuple[str, ...]) -> None:
    text = heard[arguments]
    assert text
    assert "Traceback (most" not in text or arguments[0] in ("logs", "explain", "report", "start", "run")
    assert "a bug of ours" not in text
    assert raw(text) == []
    assert not [line for line in text.splitlines() if line.startswith("FORGED")]


@pytest.mark.parametrize("arguments", [("logs",), ("explain", "broken"), ("history", "fails"), ("start",)])
def test_it_is_shown_escaped(heard: dict[tuple[str, ...], str], arguments: tuple[str, ...]) -> None:
    assert r"\x1b[2J\x1b]0;owned\x07" in heard[arguments]


@pytest.mark.parametrize("verb", sorted({arguments[0] for arguments in COMMANDS} - {"init", "completion"}))
def test_the_name_of_the_folder_is_not_raw_either(project: Callable[..., Project], verb: str) -> None:
    beside = project()
    made = Project(beside.folder / EVIL, FAST + '\n[tasks.one]\nrun = "mine:one"\nevery = "1h"\n', "def one(): pass\n")
    more = {"config": ["show"], "add": ["task", "two"], "chaos": ["one", "kill"], "kafka": ["lag"]}.get(
        verb, ["one"] if verb in NAMED else []
    )
    _, text = on_terminal(beside.folder, verb, *more, "--config", str(made.config))
    assert text
    assert raw(text) == []
    assert not [line for line in text.splitlines() if line.startswith("FORGED")]
