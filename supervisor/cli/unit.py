"""RUNS IN THE USER'S TERMINAL: `supervisor unit`: a systemd unit for this project, to look at and to install.

Sources: systemd.service(5), systemd.exec(5), systemd.syntax(7).
"""

from __future__ import annotations

import os
import pwd
import re
import sys
from collections.abc import Iterator

import click

from supervisor.cli import report, terminal
from supervisor.cli.group import verb
from supervisor.cli.place import Place
from supervisor.core.errors import Exit, SupervisorError
from supervisor.core.spec import Plan, plan_from_json

BEYOND_GRACE = 10.0  # seconds; the supervisor itself needs one to end what did not
WATCHDOG = 30
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,30}")
_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)")
_PRIVATE = ("/tmp/", "/var/tmp/")  # PrivateTmp would hide a project that lies there
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@verb(example="supervisor unit --user app > /etc/systemd/system/myproject.service")
@click.option("--user", "name", metavar="NAME", help="Who runs it. Default: you, and root when you are root.")
def unit(place: Place, name: str | None) -> int:
    """Print a systemd unit for this project; nothing is installed."""
    found = report.read(place, check_targets=False)
    if not found["ok"]:
        count = report.problems(place, found["problems"])
        terminal.tell(f"{report.many(count, 'error')}, no unit was made")
        return Exit.USAGE
    plan = plan_from_json(found["plan"])
    terminal.say_all(text(plan, _user(name), _variables(place.config), sys.executable))
    return Exit.OK


def text(plan: Plan, user: str | None, variables: list[str], python: str) -> Iterator[str]:
    """Yield the lines. `variables`: the names that config.toml takes from the environment."""
    settings = plan.supervisor
    command = f"{_command(python)} -m supervisor"
    option = f"--config {_command(settings.config_file)}"
    yield from (
        "[Unit]",
        f"Description=forkwarden: {_value(os.path.basename(settings.project_dir) or '/')}",
        "Wants=network-online.target",
        "After=network-online.target",
        "# A restart is tried for ever, every two seconds.",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={command} start {option}",
        f"ExecReload={command} reload {option}",
        f"WorkingDirectory={_value(settings.project_dir)}",
    )
    yield from [f"User={user}"] if user else []
    yield f"Environment={_word(f'PATH={os.path.dirname(python)}:{_PATH}')}"
    if variables:
        yield f"# config.toml takes from the environment: {', '.join(variables)}. Write them, mode 0600, into a file:"
        yield "# EnvironmentFile=/etc/forkwarden.env"
    yield from _life(settings.grace_period)
    yield from _hardening(settings.project_dir, settings.state_dir)
    yield from ("", "[Install]", "WantedBy=multi-user.target")


def _life(grace: float) -> Iterator[str]:
    yield from (
        "",
        "# Exit code 2 is a configuration error: no restart mends it.",
        "Restart=on-failure",
        "RestartSec=2s",
        f"RestartPreventExitStatus={Exit.USAGE:d}",
        f"WatchdogSec={WATCHDOG}",
        "# SIGTERM goes to the supervisor alone, which ends its children; SIGKILL goes to all that is left.",
        "KillMode=mixed",
        f"TimeoutStopSec={grace + BEYOND_GRACE:g}",
        "# A child that the kernel kills for memory is replaced; the others need not end for it.",
        "OOMPolicy=continue",
    )


def _hardening(project: str, state: str) -> Iterator[str]:
    yield from (
        "",
        "# Nobody in here becomes another user; the system is read-only, the project and what it writes is not.",
        "NoNewPrivileges=yes",
        "ProtectSystem=full",
        f"ReadWritePaths={_word('-' + state)}",
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "ProtectControlGroups=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
    )
    if not any(f"{place}/".startswith(_PRIVATE) for place in (project, state)):
        yield "PrivateTmp=yes"


def _user(name: str | None) -> str | None:
    if name is not None and not _USER.fullmatch(name):
        raise SupervisorError(f"{name!r} is no name of a user: expected letters, digits, _ and -")
    if name is None and os.geteuid():
        return pwd.getpwuid(os.geteuid()).pw_name
    return name


def _variables(config: str) -> list[str]:
    with open(config, encoding="utf-8") as file:
        lines = [line.partition("#")[0] for line in file]
    return sorted({name for line in lines for name in _VARIABLE.findall(line)})


def _command(word: str) -> str:
    """One word of a command line, where $ begins a variable."""
    return _word(word).replace("$", "$$")


def _word(value: str) -> str:
    inner = _value(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"' if re.search(r"[\s'\"\\;]", inner) else inner


def _value(value: str) -> str:
    """No line breaks: what comes after one would be another setting. A % begins a specifier."""
    if not value.isprintable():
        raise SupervisorError(f"{value!r}: a path with such characters cannot stand in a unit; move the project")
    return value.replace("%", "%%")
